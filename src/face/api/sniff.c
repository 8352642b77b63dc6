/* SPDX-License-Identifier: Apache-2.0 */
#include "sniff.h"

#include <string.h>

#define SNIFF_MAX 512

enum { SKIP_BLANKS = 1, TAG = 2 };

struct signature {
    const char *mask; /* NULL: every bit counts */
    const char *bytes;
    size_t n;
    const char *type;
    int flags;
};

#define HTML(text) \
    { \
        NULL, text, sizeof text - 1, "text/html; charset=utf-8", SKIP_BLANKS | TAG \
    }
#define EXACT(text, media) \
    { \
        NULL, text, sizeof text - 1, media, 0 \
    }
#define MASKED(bits, text, media) \
    { \
        bits, text, sizeof text - 1, media, 0 \
    }

static const struct signature signatures[] = {
    HTML("<!DOCTYPE HTML"),
    HTML("<HTML"),
    HTML("<HEAD"),
    HTML("<SCRIPT"),
    HTML("<IFRAME"),
    HTML("<H1"),
    HTML("<DIV"),
    HTML("<FONT"),
    HTML("<TABLE"),
    HTML("<A"),
    HTML("<STYLE"),
    HTML("<TITLE"),
    HTML("<B"),
    HTML("<BODY"),
    HTML("<BR"),
    HTML("<P"),
    HTML("<!--"),
    { NULL, "<?xml", 5, "text/xml; charset=utf-8", SKIP_BLANKS },
    EXACT("%PDF-", "application/pdf"),
    EXACT("%!PS-Adobe-", "application/postscript"),
    MASKED("\xff\xff\x00\x00", "\xfe\xff\x00\x00", "text/plain; charset=utf-16be"),
    MASKED("\xff\xff\x00\x00", "\xff\xfe\x00\x00", "text/plain; charset=utf-16le"),
    MASKED("\xff\xff\xff\x00", "\xef\xbb\xbf\x00", "text/plain; charset=utf-8"),
    EXACT("\x00\x00\x01\x00", "image/x-icon"),
    EXACT("\x00\x00\x02\x00", "image/x-icon"),
    EXACT("BM", "image/bmp"),
    EXACT("GIF87a", "image/gif"),
    EXACT("GIF89a", "image/gif"),
    MASKED("\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff", "RIFF\x00\x00\x00\x00WEBPVP",
        "image/webp"),
    EXACT("\x89PNG\x0d\x0a\x1a\x0a", "image/png"),
    EXACT("\xff\xd8\xff", "image/jpeg"),
    EXACT(".snd", "audio/basic"),
    MASKED("\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff",
        "FORM\x00\x00\x00\x00"
        "AIFF",
        "audio/aiff"),
    EXACT("ID3", "audio/mpeg"),
    EXACT("OggS\x00", "application/ogg"),
    EXACT("MThd\x00\x00\x00\x06", "audio/midi"),
    MASKED("\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff",
        "RIFF\x00\x00\x00\x00"
        "AVI ",
        "video/avi"),
    MASKED("\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff", "RIFF\x00\x00\x00\x00WAVE",
        "audio/wave"),
    EXACT("\x1a\x45\xdf\xa3", "video/webm"),
    EXACT("\x00\x01\x00\x00", "font/ttf"),
    EXACT("OTTO", "font/otf"),
    EXACT("ttcf", "font/collection"),
    EXACT("wOFF", "font/woff"),
    EXACT("wOF2", "font/woff2"),
    EXACT("\x1f\x8b\x08", "application/x-gzip"),
    EXACT("PK\x03\x04", "application/zip"),
    EXACT("Rar!\x1a\x07\x00", "application/x-rar-compressed"),
    EXACT("Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
    EXACT("\x00\x61\x73\x6d", "application/wasm"),
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool fits(const struct signature *s, struct str b)
{
    if (s->flags & SKIP_BLANKS) {
        while (b.n && is_blank(b.p[0]))
            b = str_slice(b, 1, b.n);
    }
    if (b.n < s->n + (s->flags & TAG ? 1 : 0)) return false;
    for (size_t i = 0; i < s->n; i++) {
        char c = s->flags & TAG ? upper(b.p[i]) : b.p[i];
        if (s->mask) c = (char)(c & s->mask[i]);
        if (c != s->bytes[i]) return false;
    }
    if (!(s->flags & TAG)) return true;
    return b.p[s->n] == ' ' || b.p[s->n] == '>';
}

/* ISO media: a box named ftyp whose brands begin with mp4. */
static bool is_mp4(struct str b)
{
    if (b.n < 12) return false;
    const unsigned char *p = (const unsigned char *)b.p;
    size_t box = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (b.n < box || box % 4 != 0 || memcmp(b.p + 4, "ftyp", 4) != 0) return false;
    for (size_t at = 8; at + 3 <= box; at += 4) {
        if (at != 12 && memcmp(b.p + at, "mp4", 3) == 0) return true;
    }
    return false;
}

static bool is_binary(unsigned char c)
{
    return c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1a) || (c >= 0x1c && c <= 0x1f);
}

const char *content_sniff(struct str bytes)
{
    struct str b = str_slice(bytes, 0, bytes.n < SNIFF_MAX ? bytes.n : SNIFF_MAX);
    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
        if (fits(&signatures[i], b)) return signatures[i].type;
    }
    if (is_mp4(b)) return "video/mp4";
    while (b.n && is_blank(b.p[0]))
        b = str_slice(b, 1, b.n);
    for (size_t i = 0; i < b.n; i++) {
        if (is_binary((unsigned char)b.p[i])) return "application/octet-stream";
    }
    return "text/plain; charset=utf-8";
}
