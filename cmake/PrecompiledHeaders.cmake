# What nearly every file includes, compiled once: the standard library, Abseil, the
# messages and gRPC are half of what a file costs. Files still include what they use;
# Clang's preset compiles without precompiled headers, and shows where one does not.
set(BACKFLIP_COMMON_HEADERS
  <algorithm> <atomic> <chrono> <cmath> <cstdint> <deque> <filesystem> <fstream> <functional> <map> <memory> <optional>
  <set> <sstream> <string> <thread> <utility> <vector>
  <absl/container/flat_hash_map.h> <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/str_join.h>
  <absl/strings/str_split.h> <absl/synchronization/mutex.h> <absl/time/time.h>)
set(BACKFLIP_MESSAGE_HEADERS
  <backflip/v1/label.pb.h> <backflip/v1/run.pb.h> <backflip/v1/task.pb.h>)
set(BACKFLIP_RPC_HEADERS
  <grpcpp/grpcpp.h> <backflip/v1/label.grpc.pb.h> <backflip/v1/run.grpc.pb.h> <backflip/v1/work.grpc.pb.h>)

# precompiled_headers(name HEADERS <string> … LIBRARIES …): a set of them. A target
# takes it with target_precompile_headers(target REUSE_FROM name), and must link those
# libraries: a header of gRPC that is only included already refers to it.
function(precompiled_headers name)
  cmake_parse_arguments(ARG "" "" "HEADERS;LIBRARIES" ${ARGN})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "")
  add_library(${name} OBJECT ${source})
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES})
  # not by ccache: after a change of the protocol it was seen to give an old one back
  set_target_properties(${name} PROPERTIES CXX_COMPILER_LAUNCHER "")
  target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
endfunction()
