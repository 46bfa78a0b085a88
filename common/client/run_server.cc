#include "common/client/run_server.h"

#include <utility>

#include "absl/time/time.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"

namespace backflip::client {

RunServer::RunServer(rpc::Client broker)
    : broker_(std::move(broker)), claimant_(base::RandomHex128()) {}

absl::Status RunServer::Work() {
  base::LogInfo("waiting for runs", {{"broker", broker_.address()}});
  const base::RetryPolicy patient{.give_up_after = absl::InfiniteDuration()};
  const auto draining = [this] { return Draining(); };
  while (!Draining()) {
    std::unique_ptr<ClaimKeeper> claim;
    const absl::Status status = base::Retry(patient, draining, [&]() -> absl::Status {
      ASSIGN_OR_RETURN(const std::string advertise, AdvertisedAddress());
      ASSIGN_OR_RETURN(claim, ClaimKeeper::Claim(broker_, claimant_, advertise, draining));
      return absl::OkStatus();
    });
    if (Draining()) {
      if (claim != nullptr) (void)claim->GiveBack();
      break;
    }
    RETURN_IF_ERROR(status);
    if (claim == nullptr) continue;
    ReportConfig(broker_, claim->run().id(), draining);
    Serve(std::move(claim));
  }
  base::LogInfo("drained");
  return absl::OkStatus();
}

}  // namespace backflip::client
