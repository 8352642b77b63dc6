/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/coordinate.h"

#include <math.h>
#include <string.h>

#include "consuld/wire/gotime.h"

#define NANOSECONDS 1e9
#define ZERO_THRESHOLD 1e-6 /* nearer than that is the same place; the shortest round trip */
#define ERROR_WEIGHT 0.25   /* CE */
#define FORCE_WEIGHT 0.25   /* CC */
#define GRAVITY_RHO 150.0

struct position position_start(void)
{
    return (struct position){ .error = COORDINATE_ERROR_MAX, .height = COORDINATE_HEIGHT_MIN };
}

bool position_valid(const struct position *p)
{
    for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++)
        if (!isfinite(p->vec[i])) return false;
    return isfinite(p->error) && isfinite(p->adjustment) && isfinite(p->height);
}

static double magnitude(const double v[COORDINATE_DIMENSIONS])
{
    double sum = 0;
    for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++)
        sum += v[i] * v[i];
    return sqrt(sum);
}

static double difference(
    const struct position *a, const struct position *b, double out[COORDINATE_DIMENSIONS])
{
    for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++)
        out[i] = a->vec[i] - b->vec[i];
    return magnitude(out);
}

static double raw_distance(const struct position *a, const struct position *b)
{
    double between[COORDINATE_DIMENSIONS];
    return difference(a, b, between) + a->height + b->height;
}

static double seconds_of(int64_t ns)
{
    return (double)(ns / 1000000000) + (double)(ns % 1000000000) / NANOSECONDS;
}

/* What a duration keeps of it. */
static double whole_nanoseconds(double seconds)
{
    if (!(fabs(seconds) < 9e9)) return seconds;
    return seconds_of((int64_t)(seconds * NANOSECONDS));
}

double position_distance(const struct position *a, const struct position *b)
{
    double raw = raw_distance(a, b);
    double adjusted = raw + a->adjustment + b->adjustment;
    return whole_nanoseconds(adjusted > 0 ? adjusted : raw);
}

static double random_component(struct prng *r)
{
    return (double)(prng_next(r) >> 11) / (double)(UINT64_C(1) << 53) - 0.5;
}

/* Direction from b to a; returns their distance, 0 if a direction had to be made up. */
static double direction(struct prng *r, const struct position *a, const struct position *b,
    double out[COORDINATE_DIMENSIONS])
{
    double length = difference(a, b, out);
    double distance = length;
    if (!(length > ZERO_THRESHOLD)) {
        distance = 0;
        for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++)
            out[i] = random_component(r);
        length = magnitude(out);
    }
    if (!(length > ZERO_THRESHOLD)) {
        memset(out, 0, COORDINATE_DIMENSIONS * sizeof out[0]);
        out[0] = length = 1;
    }
    for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++)
        out[i] /= length;
    return distance;
}

static void apply_force(struct coordinate_client *c, double force, const struct position *other)
{
    double unit[COORDINATE_DIMENSIONS];
    struct position *here = &c->here;
    double distance = direction(&c->random, here, other, unit);
    for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++)
        here->vec[i] += unit[i] * force;
    if (distance > ZERO_THRESHOLD) {
        here->height = (here->height + other->height) * force / distance + here->height;
        here->height = fmax(here->height, COORDINATE_HEIGHT_MIN);
    }
}

static double median(struct latency_filter *f, double rtt)
{
    f->rtt[f->next] = rtt;
    f->next = (uint8_t)((f->next + 1) % COORDINATE_FILTER);
    if (f->n < COORDINATE_FILTER) f->n++;
    double sorted[COORDINATE_FILTER];
    for (size_t i = 0; i < f->n; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > f->rtt[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = f->rtt[i];
    }
    return sorted[f->n / 2];
}

static void move(struct coordinate_client *c, const struct position *other, double rtt)
{
    struct position *here = &c->here;
    double distance = position_distance(here, other);
    rtt = fmax(rtt, ZERO_THRESHOLD);
    double wrongness = fabs(distance - rtt) / rtt;
    double total = fmax(here->error + other->error, ZERO_THRESHOLD);
    double weight = here->error / total;
    here->error = ERROR_WEIGHT * weight * wrongness + here->error * (1 - ERROR_WEIGHT * weight);
    here->error = fmin(here->error, COORDINATE_ERROR_MAX);
    apply_force(c, FORCE_WEIGHT * weight * (rtt - distance), other);
}

static void adjust(struct coordinate_client *c, const struct position *other, double rtt)
{
    c->samples[c->sample_next] = rtt - raw_distance(&c->here, other);
    c->sample_next = (c->sample_next + 1) % COORDINATE_WINDOW;
    double sum = 0;
    for (size_t i = 0; i < COORDINATE_WINDOW; i++)
        sum += c->samples[i];
    c->here.adjustment = sum / (2.0 * COORDINATE_WINDOW);
}

static void gravitate(struct coordinate_client *c)
{
    struct position origin = position_start();
    double distance = position_distance(&origin, &c->here);
    apply_force(c, -pow(distance / GRAVITY_RHO, 2), &origin);
}

void coordinate_client_init(struct coordinate_client *c, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    c->here = position_start();
    prng_seed(&c->random, seed);
}

int coordinate_client_update(struct coordinate_client *c, struct latency_filter *f,
    const struct position *other, int64_t rtt_ns, struct error *err)
{
    if (!position_valid(other)) return error_set(err, ERR_BAD_REQUEST, "coordinate is invalid");
    if (rtt_ns < 0 || rtt_ns > COORDINATE_RTT_MAX_NS) {
        struct buf text = BUF_INIT(64);
        duration_format(rtt_ns, &text);
        error_set(err, ERR_BAD_REQUEST,
            "round trip time not in valid range, duration %.*s is not a positive value less than "
            "10s ",
            STR_ARG(buf_str(&text)));
        buf_deinit(&text);
        return ERR_BAD_REQUEST;
    }
    double rtt = median(f, seconds_of(rtt_ns));
    move(c, other, rtt);
    adjust(c, other, rtt);
    gravitate(c);
    if (!position_valid(&c->here)) {
        c->here = position_start();
        memset(c->samples, 0, sizeof c->samples);
        c->resets++;
    }
    return 0;
}
