// A daemon that claims runs and serves one after the other.
#ifndef BACKFLIP_COMMON_CLIENT_RUN_SERVER_H_
#define BACKFLIP_COMMON_CLIENT_RUN_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/client/claim_keeper.h"
#include "common/rpc/client.h"
#include "common/rpc/daemon.h"

namespace backflip::client {

// Runs come from the broker under a claim; while it is away, it is asked again for as
// long as it takes. A refused token ends the daemon.
class RunServer : public rpc::Daemon {
 protected:
  explicit RunServer(rpc::Client broker);

  const rpc::Client& broker() const { return broker_; }
  // How workers reach this daemon, told with each claim; empty: they do not. May block.
  virtual absl::StatusOr<std::string> AdvertisedAddress() const { return ""; }
  // Serves the run to its end, or until Draining() or the loss of the claim, and
  // releases it. Blocks.
  virtual void Serve(std::unique_ptr<ClaimKeeper> claim) = 0;

 private:
  absl::Status Work() final;

  const rpc::Client broker_;
  const std::string claimant_;  // random: one per process start
};

}  // namespace backflip::client

#endif  // BACKFLIP_COMMON_CLIENT_RUN_SERVER_H_
