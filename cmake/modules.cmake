# SPDX-License-Identifier: Apache-2.0
# The modules in the order of the design: each may use only what stands above it.
# llhttp: Debian's node-llhttp carries the generated parser as C source.
set(LLHTTP_DIR /usr/share/llhttp)
add_library(llhttp STATIC ${LLHTTP_DIR}/api.c ${LLHTTP_DIR}/http.c ${LLHTTP_DIR}/llhttp.c)
target_include_directories(llhttp SYSTEM PUBLIC /usr/share/include/llhttp)
target_compile_options(llhttp PRIVATE -w)

module(base LIBS m)
module(wire USES base LIBS msgpackc)
module(model USES wire)
module(raft USES model)
module(gossip USES model TEST_LIBS crypto)
module(mux USES model llhttp)
module(lang USES model LIBS pcre2-8)
module(fed USES model)
module(store USES model lang LIBS lmdb z crypto)
module(net USES mux LIBS uv ssl crypto)
module(cluster USES raft gossip mux lang fed store)
module(server USES cluster)
module(agent USES cluster)
module(face USES server agent net LIBS z)

if(EXISTS ${CMAKE_SOURCE_DIR}/src/main.c AND TARGET face)
  add_executable(consuld src/main.c)
  target_link_libraries(consuld PRIVATE face)
endif()

foreach(part sim fuzz bench conformance e2e)
  if(EXISTS ${CMAKE_SOURCE_DIR}/tests/${part}/CMakeLists.txt)
    add_subdirectory(tests/${part})
  endif()
endforeach()
add_test(NAME tidy COMMAND ${CMAKE_SOURCE_DIR}/scripts/tidy)
