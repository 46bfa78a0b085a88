#include "services/reward_trainer/candidate_pool.h"

#include <utility>

#include "absl/time/time.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/experience/wire.h"
#include "common/rpc/status.h"

namespace backflip::reward_trainer {

CandidatePool::CandidatePool(const rpc::Client& broker, const v1::Run& run)
    : broker_(broker), run_(run), stub_(v1::ClipService::NewStub(broker.channel())) {}

absl::StatusOr<std::vector<experience::ClipPointer>> CandidatePool::Read(
    int64_t batch, const std::function<bool()>& ended) {
  v1::ListCandidatesRequest request;
  request.set_run_id(run_.id());
  request.set_max_iteration(batch);
  request.set_after_iteration(batch_);
  request.set_limit(run_.spec().queries().pool());
  std::vector<Candidate> read;
  RETURN_IF_ERROR(base::Retry({}, ended, [&]() -> absl::Status {
    read.clear();
    const auto context = broker_.UnaryContext(absl::Seconds(60));
    const auto reader = stub_->ListCandidates(context.get(), request);
    v1::Candidate candidate;
    absl::Status bad;
    while (reader->Read(&candidate)) {
      absl::StatusOr<experience::Clip> clip = experience::FromProto(
          candidate.clip(), run_.task().observation_size(), run_.task().action_size());
      if (!clip.ok()) {
        bad = clip.status();
        context->TryCancel();
        break;
      }
      read.push_back({candidate.clip_id(), candidate.clip().iteration(),
                      std::make_shared<const experience::Clip>(*std::move(clip))});
    }
    const absl::Status status = rpc::FromGrpc(reader->Finish());
    return bad.ok() ? status : bad;
  }));
  std::vector<experience::ClipPointer> added;
  for (Candidate& candidate : read) {
    added.push_back(candidate.clip);
    candidates_.push_back(std::move(candidate));
  }
  const size_t limit = run_.spec().queries().pool();
  if (candidates_.size() > limit) candidates_.erase(candidates_.begin(), candidates_.end() - limit);
  batch_ = batch;
  return added;
}

std::vector<experience::ClipPointer> CandidatePool::Clips() const {
  std::vector<experience::ClipPointer> clips;
  clips.reserve(candidates_.size());
  for (const Candidate& candidate : candidates_) clips.push_back(candidate.clip);
  return clips;
}

}  // namespace backflip::reward_trainer
