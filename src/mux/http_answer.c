/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "consuld/mux/http.h"

static const struct {
    int status;
    const char *text;
} statuses[] = {
    { 200, "OK" },
    { 301, "Moved Permanently" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 409, "Conflict" },
    { 412, "Precondition Failed" },
    { 413, "Request Entity Too Large" },
    { 415, "Unsupported Media Type" },
    { 417, "Expectation Failed" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].status == status) return statuses[i].text;
    return "";
}

void http_answer_head(const struct http_answer *a, struct buf *out)
{
    buf_put_str(out, a->minor ? STR("HTTP/1.1 ") : STR("HTTP/1.0 "));
    buf_put_u64(out, (uint64_t)a->status);
    buf_put_char(out, ' ');
    buf_put_c(out, http_status_text(a->status));
    for (size_t i = 0; i < a->n_headers; i++) {
        buf_put_str(out, STR("\r\n"));
        buf_put_str(out, a->headers[i].name);
        buf_put_str(out, STR(": "));
        buf_put_str(out, a->headers[i].value);
    }
    buf_put_str(out, STR("\r\nDate: "));
    buf_put_str(out, a->date);
    if (a->framing == HTTP_LENGTH) {
        buf_put_str(out, STR("\r\nContent-Length: "));
        buf_put_u64(out, a->length);
    } else if (a->minor) {
        buf_put_str(out, STR("\r\nTransfer-Encoding: chunked"));
    }
    if (a->minor && !a->keep_alive)
        buf_put_str(out, STR("\r\nConnection: close"));
    else if (!a->minor && a->keep_alive)
        buf_put_str(out, STR("\r\nConnection: keep-alive"));
    buf_put_str(out, STR("\r\n\r\n"));
}

void http_chunk_begin(uint64_t n, struct buf *out)
{
    char text[20];
    int len = snprintf(text, sizeof text, "%llx\r\n", (unsigned long long)n);
    buf_put(out, text, (size_t)len);
}

void http_date(int64_t unix_s, char out[HTTP_DATE_LEN + 1])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)unix_s;
    struct tm tm;
    char text[64];
    gmtime_r(&t, &tm);
    snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
        tm.tm_mday, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min,
        tm.tm_sec);
    memcpy(out, text, HTTP_DATE_LEN + 1);
}
