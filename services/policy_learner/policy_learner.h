// The policy-learner: serves one run after the other.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/client/run_server.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "services/policy_learner/policy_learner_service.h"

namespace backflip::policy_learner {

struct PolicyLearnerConfig {
  // host:port or unix:path.
  std::string listen;
  // The address that workers are given. Empty: where it listens, by OwnAddress.
  std::string advertise;
};

// Serves workers and learns one run after the other. A drain saves the current run and
// gives it back; the destructor waits until the workers are gone.
class PolicyLearner final : public client::RunServer {
 public:
  // Listens for workers; Start begins to claim runs.
  static absl::StatusOr<std::unique_ptr<PolicyLearner>> Listen(rpc::Client broker,
                                                               PolicyLearnerConfig config);
  ~PolicyLearner() override;

  const std::string& address() const { return server_->address(); }

 private:
  PolicyLearner(rpc::Client broker, PolicyLearnerConfig config);
  absl::StatusOr<std::string> AdvertisedAddress() const override;
  void Serve(std::unique_ptr<client::ClaimKeeper> claim) override;

  const PolicyLearnerConfig config_;
  PolicyLearnerService service_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_H_
