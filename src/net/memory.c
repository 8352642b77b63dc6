/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up touches much that a running agent does not: symbol tables, algorithms that are only
 * registered, buffers. */
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consuld/net.h"

/* Segments that are never written are as their file has them: their pages come back when touched.
 */
static int drop_segments(struct dl_phdr_info *info, size_t size, void *ctx)
{
    uintptr_t page = *(const uintptr_t *)ctx;
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W)) continue;
        uintptr_t from = (info->dlpi_addr + p->p_vaddr) & ~(page - 1);
        uintptr_t to = (info->dlpi_addr + p->p_vaddr + p->p_filesz) & ~(page - 1);
        if (to > from) (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 0;
}

void net_memory_give_back(void)
{
    long page = sysconf(_SC_PAGESIZE);
    uintptr_t size = page > 0 ? (uintptr_t)page : 4096;
    dl_iterate_phdr(drop_segments, &size);
    malloc_trim(0);
}
