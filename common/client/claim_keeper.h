// A claim on a run, kept alive: what learner and trainer share of serving one.
#ifndef BACKFLIP_COMMON_CLIENT_CLAIM_KEEPER_H_
#define BACKFLIP_COMMON_CLIENT_CLAIM_KEEPER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/mutex.h"
#include "common/rpc/client.h"

namespace backflip::client {

// Renews the claim at a third of its lease from a thread of its own. Thread-safe.
class ClaimKeeper {
 public:
  // One long poll (25 s) for a run; null when there is none to claim.
  // `claimant`: random, one per process start. `advertise`: see ClaimRequest.
  // CANCELLED within a tenth of a second of `stop` (may be null) answering true.
  static absl::StatusOr<std::unique_ptr<ClaimKeeper>> Claim(
      const rpc::Client& broker, const std::string& claimant, const std::string& advertise,
      const std::function<bool()>& stop = nullptr);
  // Stops renewing; does not release.
  ~ClaimKeeper();

  const v1::Run& run() const { return claim_.run(); }
  int64_t epoch() const { return claim_.epoch(); }
  const std::string& collect_token() const { return claim_.collect_token(); }

  // True once the claim was lost, or the run is no longer RUNNING: stop serving it.
  bool Lost() const { return lost_; }
  // What the run has become, RUNNING while the claim stands.
  v1::RunState state() const { return state_; }

  // Steps wanted from workers, told at the next renewal and at once when it
  // changes from or to 0.
  void SetWantedSteps(int64_t steps);

  // As finished, failed (with a reason), or given back; with bounded retries. Blocks.
  absl::Status ReleaseFinished();
  absl::Status ReleaseFailed(const std::string& reason);
  // `trouble`: what kept this process from serving the run, which may pass; OK: nothing did.
  absl::Status GiveBack(const absl::Status& trouble = absl::OkStatus());

 private:
  ClaimKeeper(const rpc::Client& broker, v1::ClaimResponse claim);
  void RenewLoop();
  absl::Status Release(v1::ReleaseClaimRequest request);

  const rpc::Client broker_;
  const v1::ClaimResponse claim_;
  const std::unique_ptr<v1::ClaimService::Stub> stub_;
  std::atomic<bool> lost_ = false;
  std::atomic<v1::RunState> state_ = v1::RUNNING;
  base::Mutex mutex_;
  base::CondVar wake_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool renew_now_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t wanted_steps_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread renewer_;
};

}  // namespace backflip::client

#endif  // BACKFLIP_COMMON_CLIENT_CLAIM_KEEPER_H_
