/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/host_port.h"

const char *host_port_split(struct str text, struct str *host, struct str *port)
{
    ptrdiff_t colon = str_find_last(text, ':'), close = str_find_char(text, ']');
    bool bracketed = text.n && text.p[0] == '[';
    size_t from = bracketed;
    if (colon < 0) return "missing port in address";
    if (bracketed && close < 0) return "missing ']' in address";
    if (bracketed && close + 1 != colon)
        return (size_t)close + 1 < text.n && text.p[close + 1] == ':' ? "too many colons in address"
                                                                      : "missing port in address";
    size_t end = (size_t)(bracketed ? close : colon);
    *host = str_slice(text, from, end);
    *port = str_slice(text, (size_t)colon + 1, text.n);
    if (!bracketed && str_find_char(*host, ':') >= 0) return "too many colons in address";
    if (str_find_char(str_slice(text, from, text.n), '[') >= 0) return "unexpected '[' in address";
    struct str behind = str_slice(text, bracketed ? end + 1 : 0, text.n);
    return str_find_char(behind, ']') >= 0 ? "unexpected ']' in address" : NULL;
}
