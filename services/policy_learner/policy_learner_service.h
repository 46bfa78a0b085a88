// The RPC edge of the policy-learner: CollectService.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_SERVICE_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_SERVICE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/collect.grpc.pb.h"
#include "common/base/mutex.h"
#include "services/policy_learner/collector.h"

namespace backflip::policy_learner {

// Serves the collector of the run that this process has claimed, if any.
// Thread-safe.
class PolicyLearnerService final : public v1::CollectService::CallbackService {
 public:
  PolicyLearnerService();
  ~PolicyLearnerService() override;

  // Of the broker's tokens by which workers are connected, those that it accepts no more. Blocks,
  // for a few seconds at most.
  using FindRefused =
      std::function<absl::StatusOr<std::vector<int64_t>>(const std::vector<int64_t>& token_ids)>;

  // Workers that show a token made with `secret` (rpc::CollectToken) are this collector's from now
  // on. Every kHeartbeatSeconds `find_refused` is asked about them; those that it names are cut
  // off.
  void Serve(std::shared_ptr<Collector> collector, std::string secret, FindRefused find_refused);
  // Releases the workers, and waits until their streams have ended, at most
  // `grace`. Later ones are refused. Blocks.
  void StopServing(absl::Duration grace);

  grpc::ServerBidiReactor<v1::WorkerMessage, v1::LearnerMessage>* Collect(
      grpc::CallbackServerContext* context) override;

 private:
  class Stream;

  void TickLoop();
  void CutRefused();
  void StreamBegins(Stream* stream, int64_t holder);
  void StreamEnds(Stream* stream);

  base::Mutex mutex_;
  base::CondVar changed_;
  std::shared_ptr<Collector> collector_ ABSL_GUARDED_BY(mutex_);
  std::string secret_ ABSL_GUARDED_BY(mutex_);
  FindRefused find_refused_ ABSL_GUARDED_BY(mutex_);
  // By whose token each was begun; 0: a wrong one.
  std::map<Stream*, int64_t> streams_ ABSL_GUARDED_BY(mutex_);
  // Tokens that the broker has refused, of this claim's workers.
  std::set<int64_t> refused_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread ticker_;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_SERVICE_H_
