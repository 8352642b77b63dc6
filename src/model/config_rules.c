/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/model/config_rules.h"

#include <math.h>
#include <stdio.h>

#include "config_rules.h"
#include "consuld/wire/quote.h"
#include "faults.h"

const char *config__quoted(struct quoted *q, struct str s)
{
    struct buf out = BUF_INIT(sizeof q->text - 1);
    quote_go(&out, s);
    snprintf(q->text, sizeof q->text, "%.*s", STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return q->text;
}

/* --- all kinds ------------------------------------------------------------------------------ */

static int check_name(struct str name, struct error *err)
{
    return name.n ? 0 : error_set(err, ERR_BAD_REQUEST, "Name is required");
}

/* --- splitters ------------------------------------------------------------------------------ */

static bool same_destination(
    struct str own, const struct service_split *x, const struct service_split *y)
{
    return str_eq(x->service.n ? x->service : own, y->service.n ? y->service : own) &&
           str_eq(x->service_subset, y->service_subset) && str_eq(x->namespace, y->namespace);
}

static int check_splitter(const struct service_splitter_config_entry *e, struct error *err)
{
    double sum = 0;
    struct quoted q1, q2, q3;
    if (e->splits.n == 0) return error_set(err, ERR_BAD_REQUEST, "no splits configured");
    for (size_t i = 0; i < e->splits.n; i++) {
        const struct service_split *s = &LIST_AT(&e->splits, struct service_split, i);
        sum += round((double)(s->weight * 100.0f));
        for (size_t k = 0; k < i; k++) {
            if (!same_destination(e->name, s, &LIST_AT(&e->splits, struct service_split, k)))
                continue;
            return error_set(err, ERR_BAD_REQUEST,
                "split destination occurs more than once: service=%s, subset=%s, namespace=%s",
                config__quoted(&q1, s->service.n ? s->service : e->name),
                config__quoted(&q2, s->service_subset), config__quoted(&q3, s->namespace));
        }
    }
    if (sum >= 9999.5 && sum <= 10000.5) return 0;
    return error_set(err, ERR_BAD_REQUEST, "the sum of all split weights must be 100, not %f",
        (double)((float)sum / 100.0f));
}

/* --- resolvers ------------------------------------------------------------------------------ */

static bool is_subset(const struct service_resolver_config_entry *e, struct str name)
{
    return dict_get(&e->subsets, &type_service_resolver_subset, name) != NULL;
}

static bool subset_name_valid(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (c != '-' || i == 0 || i + 1 == s.n)) return false;
    }
    return true;
}

static int check_subsets(const struct service_resolver_config_entry *e, struct error *err)
{
    struct quoted q;
    for (size_t i = 0; i < e->subsets.n; i++) {
        struct str name = dict_key(&e->subsets, &type_service_resolver_subset, i);
        if (name.n == 0) return error_set(err, ERR_BAD_REQUEST, "Subset defined with empty name");
        if (!subset_name_valid(name))
            return error_set(err, ERR_BAD_REQUEST,
                "Subset %s is invalid: must begin or end with lower case alphanumeric characters, "
                "and contain lower case alphanumeric characters or '-' in between",
                config__quoted(&q, name));
    }
    if (e->default_subset.n == 0 || is_subset(e, e->default_subset)) return 0;
    return error_set(err, ERR_BAD_REQUEST, "DefaultSubset %s is not a valid subset",
        config__quoted(&q, e->default_subset));
}

static int check_redirect(const struct service_resolver_config_entry *e, struct error *err)
{
    const struct service_resolver_redirect *r = e->redirect;
    struct quoted q1, q2;
    const char *why = NULL;
    if (!r) return 0;
    if (e->failover.n)
        why = "Redirect and Failover cannot both be set";
    else if (!r->service.n && !r->service_subset.n && !r->namespace.n && !r->datacenter.n)
        why = "Redirect is empty";
    else if (!r->service.n && r->service_subset.n)
        why = "Redirect.ServiceSubset defined without Redirect.Service";
    else if (!r->service.n && r->namespace.n)
        why = "Redirect.Namespace defined without Redirect.Service";
    if (why) return error_set(err, ERR_BAD_REQUEST, "%s", why);
    bool own = r->service.n && str_eq(r->service, e->name);
    if (!own || !r->service_subset.n || is_subset(e, r->service_subset)) return 0;
    return error_set(err, ERR_BAD_REQUEST, "Redirect.ServiceSubset %s is not a valid subset of %s",
        config__quoted(&q1, r->service_subset), config__quoted(&q2, r->service));
}

static int check_failover(const struct service_resolver_config_entry *e, struct str subset,
    const struct service_resolver_failover *f, struct error *err)
{
    struct quoted q1, q2, q3;
    const char *name = config__quoted(&q1, subset);
    if (!str_is(subset, "*") && !is_subset(e, subset))
        return error_set(err, ERR_BAD_REQUEST, "Bad Failover[%s]: not a valid subset", name);
    if (!f->service.n && !f->service_subset.n && !f->namespace.n && !f->datacenters.n)
        return error_set(err, ERR_BAD_REQUEST,
            "Bad Failover[%s] one of Service, ServiceSubset, Namespace, or Datacenters is required",
            name);
    bool own = !f->service.n || str_eq(f->service, e->name);
    if (own && f->service_subset.n && !is_subset(e, f->service_subset))
        return error_set(err, ERR_BAD_REQUEST,
            "Bad Failover[%s].ServiceSubset %s is not a valid subset of %s", name,
            config__quoted(&q2, f->service_subset), config__quoted(&q3, f->service));
    for (size_t i = 0; i < f->datacenters.n; i++) {
        if (LIST_AT(&f->datacenters, struct str, i).n == 0)
            return error_set(
                err, ERR_BAD_REQUEST, "Bad Failover[%s].Datacenters: found empty datacenter", name);
    }
    return 0;
}

static int check_resolver(const struct service_resolver_config_entry *e, struct error *err)
{
    const struct type *elem = &type_service_resolver_failover;
    int rc = check_subsets(e, err);
    if (!rc) rc = check_redirect(e, err);
    for (size_t i = 0; i < e->failover.n && !rc; i++)
        rc =
            check_failover(e, dict_key(&e->failover, elem, i), dict_at(&e->failover, elem, i), err);
    if (rc || e->connect_timeout >= 0) return rc;
    struct buf text = BUF_INIT(64);
    duration_format(e->connect_timeout, &text);
    rc = error_set(
        err, ERR_BAD_REQUEST, "Bad ConnectTimeout '%.*s', must be >= 0", STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return rc;
}

/* --- terminating gateways ------------------------------------------------------------------- */

static int check_terminating(const struct terminating_gateway_config_entry *e, struct error *err)
{
    struct quoted q;
    for (size_t i = 0; i < e->services.n; i++) {
        const struct linked_service *s = &LIST_AT(&e->services, struct linked_service, i);
        if (s->name.n == 0) return error_set(err, ERR_BAD_REQUEST, "Service name cannot be blank.");
        for (size_t k = 0; k < i; k++) {
            if (str_eq(LIST_AT(&e->services, struct linked_service, k).name, s->name))
                return error_set(err, ERR_BAD_REQUEST,
                    "Service %s was specified more than once within a namespace",
                    config__quoted(&q, s->name));
        }
        bool own = s->cert_file.n || s->key_file.n;
        if (own && !(s->ca_file.n && s->cert_file.n && s->key_file.n))
            return error_set(err, ERR_BAD_REQUEST,
                "Service %s must have a CertFile, CAFile, and KeyFile specified for TLS "
                "origination",
                config__quoted(&q, s->name));
    }
    return 0;
}

/* -------------------------------------------------------------------------------------------- */

int config_entry_validate(const struct config_entry *e, struct error *err)
{
    struct config_entry_ref ref = config_entry_ref(e);
    struct faults f = FAULTS_INIT;
    faults_of_meta(&f, ref.meta);
    int rc = faults_report(&f, err);
    bool routing = e->service_router || e->service_splitter || e->service_resolver;
    if (!rc && routing) rc = check_name(*ref.name, err);
    if (rc) return rc;
    if (e->service_router) return config__check_router(e->service_router, err);
    if (e->service_splitter) return check_splitter(e->service_splitter, err);
    if (e->service_resolver) return check_resolver(e->service_resolver, err);
    if (e->ingress_gateway) return config__check_ingress(e->ingress_gateway, err);
    if (e->terminating_gateway) return check_terminating(e->terminating_gateway, err);
    return 0;
}
