/* SPDX-License-Identifier: Apache-2.0 */
#include "api/agent_form.h"
#include "unit/wire/sample.h"

#include "consuld/model.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    model_init();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* Services as Consul 1.8.6 showed them, with the hash it gave them. */
static void hashes_are_those_recorded(void **state)
{
    (void)state;
    static const struct {
        const char *hash, *service;
    } rows[] = {
        { "6b13684bfe179e67",
            "{'ID':'foo','Service':'foo','Tags':['bar','baz'],'Meta':{},'Port':8000,'Weights':{"
            "'Passing':1,'Warning':1}}" },
        { "90c01c603961e595",
            "{'ID':'b1','Service':'b','Tags':[],'Meta':{'k':'v','z':''},'Address':'1.2.3.4',"
            "'TaggedAddresses':{'lan_ipv4':{'Address':'1.2.3.4','Port':0},'wan_ipv4':{'Address':"
            "'1.2.3.4','Port':0}},'Weights':{'Passing':1,'Warning':1},'EnableTagOverride':true}" },
        { "975b5090ab06199a",
            "{'ID':'n','Service':'n','Tags':[],'Meta':{},'Port':80,'Weights':{'Passing':1,"
            "'Warning':1},'Connect':{'Native':true}}" },
        { "116983becd49c7a9",
            "{'Kind':'connect-proxy','ID':'p2','Service':'p2','Tags':[],'Meta':{},'Port':9,'A"
            "ddress':'','Weights':{'Passing':1,'Warning':1},'EnableTagOverride':false,'Proxy'"
            ":{'DestinationServiceName':'a','DestinationServiceID':'a','LocalServiceAddress':"
            "'127.0.0.1','LocalServicePort':1,'Config':{'b':true,'big':1e+300,'c':false,'f':1"
            ".5,'l':[1,'a',{'q':[0]}],'m':{'n':{}},'neg':-3,'s':'t','x':1},'Upstreams':[{'Des"
            "tinationType':'service','DestinationName':'a','LocalBindPort':1,'MeshGateway':{}"
            "},{'DestinationType':'prepared_query','DestinationName':'q','Datacenter':'dc2','"
            "LocalBindAddress':'127.0.0.9','LocalBindPort':2,'Config':{'protocol':'http'},'Me"
            "shGateway':{'Mode':'local'}}],'MeshGateway':{'Mode':'remote'},'Expose':{'Checks'"
            ":true,'Paths':[{'ListenerPort':21500,'Path':'/h','LocalPathPort':80,'Protocol':'"
            "http2','ParsedFromCheck':false},{'ListenerPort':21501,'Path':'/i','LocalPathPort"
            "':80,'ParsedFromCheck':false}]}}}" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct agent_service form = { 0 };
        struct error err;
        struct str quoted = str_of(rows[i].service);
        char *text = arena_alloc(&arena, quoted.n);
        for (size_t k = 0; k < quoted.n; k++)
            text[k] = quoted.p[k] == '\'' ? '"' : quoted.p[k];
        if (json_decode(
                (struct str){ text, quoted.n }, &arena, &type_agent_service, &form, 0, &err))
            fail_msg("%s", err.text);
        struct str hash = agent_content_hash(&arena, &form);
        if (!str_is(hash, rows[i].hash))
            fail_msg("%s: %.*s, not %s", rows[i].service, STR_ARG(hash), rows[i].hash);
    }
}

static struct str json_of(const struct agent_service *form)
{
    struct buf out = BUF_INIT(1 << 20);
    json_encode(&type_agent_service, form, false, &out);
    struct str text = str_dup(&arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void hash_changes_if_and_only_if_the_answer_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct generator g = { .a = &arena, .json = true };
        prng_seed(&g.rng, seed);
        struct agent_service form = { .tags = LIST_EMPTY, .meta = DICT_EMPTY };
        struct str text = json_of(&form), hash = agent_content_hash(&arena, &form);
        for (int change = 0; change < 40; change++) {
            const struct field *f =
                &record_agent_service.fields[prng_below(&g.rng, record_agent_service.n)];
            char *member = (char *)&form + f->offset;
            memset(member, 0, f->type->size);
            random_fill(&g, f->type, f->bits, 3, member);
            if (!form.tags.v) form.tags = LIST_EMPTY;
            if (!form.meta.v) form.meta = DICT_EMPTY;
            struct str text_now = json_of(&form), hash_now = agent_content_hash(&arena, &form);
            if (str_eq(text, text_now) != str_eq(hash, hash_now))
                fail_msg("%.*s and %.*s: %.*s\n%.*s", STR_ARG(hash), STR_ARG(hash_now),
                    STR_ARG(text), STR_ARG(text_now));
            text = text_now;
            hash = hash_now;
        }
        arena_reset(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_recorded),
        cmocka_unit_test(hash_changes_if_and_only_if_the_answer_does),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
