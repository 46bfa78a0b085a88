#include "common/rpc/daemon.h"

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/program.h"
#include "common/base/status_macros.h"
#include "common/metrics/metrics.h"
#include "common/rpc/transport.h"

ABSL_FLAG(std::string, broker, "", "address of the preference-broker");
ABSL_FLAG(std::string, token_file, "", "file that holds the token of this program's role");

namespace backflip::rpc {
namespace {

const base::FlagRule broker_rule(FLAGS_broker, base::kAddressWords, base::IsAddress);
const base::ConfigCheck token_check([] {
  return ReadTokenFile(absl::GetFlag(FLAGS_token_file)).status();
});

absl::Status Run(
    const std::function<absl::StatusOr<std::unique_ptr<Daemon>>(Client broker)>& make) {
  RETURN_IF_ERROR(SetTransportByFlags());
  RETURN_IF_ERROR(metrics::ServeByFlag());
  ASSIGN_OR_RETURN(std::string token, ReadTokenFile(absl::GetFlag(FLAGS_token_file)));
  base::ShutdownSignal shutdown;
  ASSIGN_OR_RETURN(const std::unique_ptr<Daemon> daemon,
                   make(Client(absl::GetFlag(FLAGS_broker), std::move(token))));
  daemon->Start();
  std::thread drain([&] {
    shutdown.Wait();
    daemon->Drain();
  });
  const absl::Status status = daemon->Wait();
  shutdown.Request();
  drain.join();
  return status;
}

}  // namespace

void Daemon::Start() {
  thread_ = std::thread([this] { result_ = Work(); });
}

void Daemon::Drain() {
  draining_ = true;
  OnDrain();
}

absl::Status Daemon::Wait() {
  if (thread_.joinable()) thread_.join();
  return result_;
}

void Daemon::Stop() {
  Drain();
  (void)Wait();
}

bool TokenIsRefused(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

int DaemonMain(int argc, char** argv, absl::string_view name, absl::string_view usage,
               const std::function<absl::StatusOr<std::unique_ptr<Daemon>>(Client broker)>& make) {
  base::InitProgram(argc, argv, name, usage);
  const absl::Status status = Run(make);
  if (status.ok()) return EXIT_SUCCESS;
  base::LogError(status.message());
  return EXIT_FAILURE;
}

}  // namespace backflip::rpc
