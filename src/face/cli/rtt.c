/* SPDX-License-Identifier: Apache-2.0 */
/* Round trip times by network coordinates. */
#include <math.h>
#include <stdlib.h>

#include "cluster.h"

/* Estimated seconds between two coordinates; false if they cannot be compared. */
static bool distance(const struct value *a, const struct value *b, double *out)
{
    const struct value *x = value_at(a, "Vec"), *y = value_at(b, "Vec");
    double sum = 0;
    if (x->kind != V_LIST || y->kind != V_LIST || x->list.n != y->list.n) return false;
    for (size_t i = 0; i < x->list.n; i++) {
        double d = value_number(&x->list.v[i]) - value_number(&y->list.v[i]);
        sum += d * d;
    }
    double raw = sqrt(sum) + value_float(a, "Height") + value_float(b, "Height");
    double adjusted = raw + value_float(a, "Adjustment") + value_float(b, "Adjustment");
    *out = adjusted > 0 ? adjusted : raw;
    return true;
}

static const struct value *coordinate(const struct value *entries, struct str node)
{
    for (size_t i = 0; entries->kind == V_LIST && i < entries->list.n; i++)
        if (str_eq(value_text(&entries->list.v[i], "Node"), node))
            return value_at(&entries->list.v[i], "Coord");
    return NULL;
}

static int report(struct cli *c, struct str a, struct str b, const struct value *from,
    const struct value *to, const char *pool)
{
    double seconds;
    if (!from || !to) /* the first one is named whichever it is, as Consul does */
        return cli_fail(c, "Could not find a coordinate for node \"%.*s\"", STR_ARG(a));
    if (!distance(from, to, &seconds))
        return cli_fail(c, "The coordinates of \"%.*s\" and \"%.*s\" are not compatible",
            STR_ARG(a), STR_ARG(b));
    cli_say(c, "Estimated %.*s <-> %.*s rtt: %.3f ms (using %s coordinates)", STR_ARG(a),
        STR_ARG(b), seconds * 1000, pool);
    return 0;
}

static int self(struct cli *c, struct str *node, struct str *datacenter)
{
    struct error err;
    struct value v;
    if (client_get(c, STR("/v1/agent/self"), &v, &err) != 0)
        return cli_fail(c, "Unable to look up agent info: %s", err.text);
    *node = value_text(value_at(&v, "Config"), "NodeName");
    *datacenter = value_text(value_at(&v, "Config"), "Datacenter");
    return 0;
}

/* --- LAN ------------------------------------------------------------------------------------- */

static int lan(struct cli *c)
{
    struct error err;
    struct value entries;
    struct str a = cli_arg(c, 0), b = cli_arg(c, 1), datacenter;
    if (c->args.n == 1 && self(c, &b, &datacenter) != 0) return 1;
    if (client_get(c, STR("/v1/coordinate/nodes"), &entries, &err) != 0)
        return cli_fail(c, "Error getting coordinates: %s", err.text);
    return report(c, a, b, coordinate(&entries, a), coordinate(&entries, b), "LAN");
}

/* --- WAN ------------------------------------------------------------------------------------- */

static bool split_name(struct str name, struct str *node, struct str *datacenter)
{
    return str_cut(name, '.', node, datacenter) && str_find_char(*datacenter, '.') < 0;
}

static const struct value *wan_coordinate(const struct value *areas, struct str name)
{
    struct str node, datacenter;
    if (!split_name(name, &node, &datacenter)) return NULL;
    for (size_t i = 0; areas->kind == V_LIST && i < areas->list.n; i++) {
        const struct value *area = &areas->list.v[i];
        if (!str_eq(value_text(area, "Datacenter"), datacenter)) continue;
        const struct value *found = coordinate(value_at(area, "Coordinates"), node);
        if (found) return found;
    }
    return NULL;
}

static int wan(struct cli *c)
{
    struct error err;
    struct value areas;
    struct str a = cli_arg(c, 0), b = cli_arg(c, 1), node, datacenter;
    if (!split_name(a, &node, &datacenter) || (b.n && !split_name(b, &node, &datacenter)))
        return cli_fail(c, "Node names must be specified as <node name>.<datacenter> with -wan");
    if (c->args.n == 1) {
        if (self(c, &node, &datacenter) != 0) return 1;
        b = str_printf(&c->arena, "%.*s.%.*s", STR_ARG(node), STR_ARG(datacenter));
    }
    if (client_get(c, STR("/v1/coordinate/datacenters"), &areas, &err) != 0)
        return cli_fail(c, "Error getting coordinates: %s", err.text);
    return report(c, a, b, wan_coordinate(&areas, a), wan_coordinate(&areas, b), "WAN");
}

int cluster_rtt(struct cli *c)
{
    if (c->args.n < 1 || c->args.n > 2)
        return cli_fail_help(c, "One or two node names must be specified");
    return cli_bool(c, "wan") ? wan(c) : lan(c);
}
