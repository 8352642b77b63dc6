/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/sniff.h"

static void content_types_are_those_of_go(void **state)
{
    (void)state;
    static const struct {
        struct str bytes;
        const char *type;
    } rows[] = {
        { { "", 0 }, "text/plain; charset=utf-8" },
        { { "one", 3 }, "text/plain; charset=utf-8" },
        { { "{\"a\":1}", 7 }, "text/plain; charset=utf-8" },
        { { "\xc3\xa9", 2 }, "text/plain; charset=utf-8" },
        { { " \n<!doctype html>", 17 }, "text/html; charset=utf-8" },
        { { "<p >", 4 }, "text/html; charset=utf-8" },
        { { "<pre>", 5 }, "text/plain; charset=utf-8" },
        { { "\t<?xml version", 14 }, "text/xml; charset=utf-8" },
        { { "%PDF-1.4", 8 }, "application/pdf" },
        { { "\xff\xfe\x61\x00", 4 }, "text/plain; charset=utf-16le" },
        { { "\x89PNG\x0d\x0a\x1a\x0a", 8 }, "image/png" },
        { { "RIFF\x01\x02\x03\x04WAVE", 12 }, "audio/wave" },
        { { "RIFF\x01\x02\x03\x04WEBPVP", 14 }, "image/webp" },
        { { "\x1f\x8b\x08", 3 }, "application/x-gzip" },
        { { "PK\x03\x04", 4 }, "application/zip" },
        { { "\x00\x00\x00\x10"
            "ftypmp42",
              12 },
            "application/octet-stream" },
        { { "\x00\x00\x00\x0c"
            "ftypmp42",
              12 },
            "video/mp4" },
        { { "a\x01", 2 }, "application/octet-stream" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(content_sniff(rows[i].bytes), rows[i].type);
    }
}

static void only_the_beginning_counts(void **state)
{
    (void)state;
    char text[600];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = 'x';
    text[599] = '\1';
    assert_string_equal(
        content_sniff((struct str){ text, sizeof text }), "text/plain; charset=utf-8");
    text[511] = '\1';
    assert_string_equal(
        content_sniff((struct str){ text, sizeof text }), "application/octet-stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_types_are_those_of_go),
        cmocka_unit_test(only_the_beginning_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
