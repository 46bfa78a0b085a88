// The newest clips of a run that questions are chosen from.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_CANDIDATE_POOL_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_CANDIDATE_POOL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/run.pb.h"
#include "common/experience/clip.h"
#include "common/rpc/client.h"

namespace backflip::reward_trainer {

struct Candidate {
  std::string id;
  int64_t iteration = 0;
  experience::ClipPointer clip;
};

// Not thread-safe.
class CandidatePool {
 public:
  // `broker` and `run` outlive it.
  CandidatePool(const rpc::Client& broker, const v1::Run& run);

  // Takes the clips of batches up to `batch` that are not in it yet, of which the newest
  // queries.pool stay; returns those that were taken. Blocks; CANCELLED once `ended` is true.
  absl::StatusOr<std::vector<experience::ClipPointer>> Read(int64_t batch,
                                                            const std::function<bool()>& ended);

  // Oldest first.
  const std::vector<Candidate>& candidates() const { return candidates_; }
  std::vector<experience::ClipPointer> Clips() const;
  // Batches up to this one are in it; -1: none.
  int64_t batch() const { return batch_; }
  size_t size() const { return candidates_.size(); }

 private:
  const rpc::Client& broker_;
  const v1::Run& run_;
  const std::unique_ptr<v1::ClipService::Stub> stub_;
  std::vector<Candidate> candidates_;
  int64_t batch_ = -1;
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_CANDIDATE_POOL_H_
