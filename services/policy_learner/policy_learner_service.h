// The RPC edge of the policy-learner: CollectService.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_SERVICE_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_SERVICE_H_

#include <memory>
#include <string>
#include <thread>

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

  // Workers that show `collect_token` are this collector's from now on.
  void Serve(std::shared_ptr<Collector> collector, std::string collect_token);
  // Releases the workers, and waits until their streams have ended, at most
  // `grace`. Later ones are refused. Blocks.
  void StopServing(absl::Duration grace);

  grpc::ServerBidiReactor<v1::WorkerMessage, v1::LearnerMessage>* Collect(
      grpc::CallbackServerContext* context) override;

 private:
  class Stream;

  void TickLoop();
  void StreamBegins();
  void StreamEnds();

  base::Mutex mutex_;
  base::CondVar changed_;
  std::shared_ptr<Collector> collector_ ABSL_GUARDED_BY(mutex_);
  std::string collect_token_ ABSL_GUARDED_BY(mutex_);
  int streams_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread ticker_;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_POLICY_LEARNER_SERVICE_H_
