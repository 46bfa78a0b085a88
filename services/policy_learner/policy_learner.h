// The policy-learner: serves one run after the other.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "common/client/claim_keeper.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "services/policy_learner/policy_learner_service.h"

namespace backflip::policy_learner {

struct PolicyLearnerConfig {
  std::string broker;
  std::string token;
  // host:port or unix:path.
  std::string listen;
  // The address that workers are given. Empty: where it listens.
  std::string advertise;
};

// Thread-safe.
class PolicyLearner {
 public:
  // Listens, and waits for runs from a thread of its own.
  static absl::StatusOr<std::unique_ptr<PolicyLearner>> Start(PolicyLearnerConfig config);
  ~PolicyLearner();

  const std::string& address() const { return server_->address(); }

  // Begins to shut down: the current run is saved and given back, and no other is claimed.
  // Does not block.
  void Drain() { draining_ = true; }
  // Blocks until a drain is complete and the workers are gone.
  void Wait();
  // Drain, and Wait.
  void Stop();

 private:
  explicit PolicyLearner(PolicyLearnerConfig config);
  void Loop();
  void Serve(client::ClaimKeeper* claim);

  const PolicyLearnerConfig config_;
  const rpc::Client broker_;
  const std::string claimant_;
  PolicyLearnerService service_;
  std::unique_ptr<rpc::Server> server_;
  std::atomic<bool> draining_ = false;
  std::thread loop_;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_H_
