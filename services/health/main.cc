// backflip-health ADDRESS: 0 when the service there says that it serves. For
// health checks of containers.
#include <cstdio>
#include <cstdlib>

#include "absl/time/time.h"
#include "common/rpc/server.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: backflip-health ADDRESS\n");
    return EXIT_FAILURE;
  }
  const absl::Status status = backflip::rpc::WaitHealthy(argv[1], absl::Seconds(3));
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return EXIT_FAILURE;
}
