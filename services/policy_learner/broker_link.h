// The broker, as the learner of one run sees it.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_BROKER_LINK_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_BROKER_LINK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/restart.pb.h"
#include "backflip/v1/snapshot.pb.h"
#include "backflip/v1/state.pb.h"
#include "common/nn/reward.h"

namespace backflip::policy_learner {

// A reward ensemble that the trainer published.
struct Reward {
  v1::SnapshotInfo info;
  nn::RewardModel model;
};

struct Asking {
  // Whether open questions may still bring labels. True when the broker does not answer.
  bool answers_expected = true;
  // The operator has stopped the asking.
  bool stopped = false;
  int64_t labels = 0;  // those that count towards the budget
};

// Calls block, are retried while the broker is away, and end with CANCELLED once the learner
// gives the run up. ABORTED: the claim was lost.
class BrokerLink {
 public:
  virtual ~BrokerLink() = default;

  // `steps`: in all batches up to and with this one.
  virtual absl::Status CompleteBatch(int64_t iteration, int64_t steps) = 0;
  virtual absl::Status ReportMetrics(int64_t iteration, int64_t steps,
                                     const std::map<std::string, double>& values) = 0;

  // Returns the snapshot as the broker recorded it, with its version.
  virtual absl::StatusOr<v1::SnapshotInfo> PublishPolicy(int64_t iteration, int64_t steps,
                                                         bool kept, const std::string& bytes) = 0;
  virtual absl::StatusOr<std::string> LoadPolicy(int64_t version) = 0;
  // A policy of another run.
  virtual absl::StatusOr<std::pair<v1::SnapshotInfo, std::string>> LoadPolicyOf(
      int64_t run_id, int64_t version) = 0;
  virtual absl::Status SetBest(int64_t version) = 0;

  virtual absl::Status SaveCheckpoint(const v1::LearnerState& state, const std::string& bytes) = 0;
  // NOT_FOUND: no checkpoint yet.
  virtual absl::StatusOr<std::pair<v1::LearnerState, std::string>> LoadCheckpoint() = 0;

  // The reward of exactly this iteration; null when there is none within `timeout`.
  // FAILED_PRECONDITION: the broker has dropped it, and has newer ones.
  virtual absl::StatusOr<std::shared_ptr<const Reward>> RewardOf(int64_t iteration,
                                                                 absl::Duration timeout) = 0;
  // The newest reward, as soon as its version is greater than `version`; null when there is
  // none within `timeout`.
  virtual absl::StatusOr<std::shared_ptr<const Reward>> RewardAfter(int64_t version,
                                                                    absl::Duration timeout) = 0;

  // Moments of the run's clips, one for each choice, or none; run_id is the link's own matter.
  virtual absl::StatusOr<std::vector<v1::Moment>> LoadMoments(v1::GetMomentsRequest request) = 0;

  // The state of the run's questions and labels. Not retried.
  virtual Asking LookAtAsking() = 0;

  // Number of steps that the run wants from workers now; the broker divides workers among
  // runs by it. Does not block.
  virtual void SetWantedSteps(int64_t steps) = 0;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_BROKER_LINK_H_
