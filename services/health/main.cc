// backflip-health ADDRESS: 0 when the service there says that it serves. For health checks of
// containers.
#include <cstdio>
#include <cstdlib>

#include "absl/time/time.h"
#include "common/base/program.h"
#include "common/rpc/server.h"
#include "common/rpc/transport.h"

int main(int argc, char** argv) {
  using namespace backflip;
  constexpr char kUsage[] = "backflip-health ADDRESS: whether the service at ADDRESS serves.";
  const auto arguments = base::InitProgram(argc, argv, "backflip-health", kUsage);
  if (arguments.size() != 1) {
    std::fprintf(stderr, "%s\n", kUsage);
    return EXIT_FAILURE;
  }
  absl::Status status = rpc::SetTransportByFlags();
  if (status.ok()) status = rpc::WaitHealthy(std::string(arguments[0]), absl::Seconds(3));
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return EXIT_FAILURE;
}
