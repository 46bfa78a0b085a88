#include "services/reward_trainer/feed_follower.h"

#include <utility>

#include "absl/time/clock.h"
#include "backflip/v1/label.grpc.pb.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/experience/wire.h"
#include "common/rpc/status.h"

namespace backflip::reward_trainer {
namespace {

absl::Status Take(const v1::LabelFeedMessage& message, const v1::TaskInfo& task,
                  RunProgress* progress) {
  if (message.has_clip()) {
    const v1::Clip& proto = message.clip().clip();
    ASSIGN_OR_RETURN(experience::Clip clip,
                     experience::FromProto(proto, task.observation_size(), task.action_size()));
    base::MutexLock lock(&progress->mutex);
    progress->book.AddClip(message.clip().clip_id(), std::move(clip), proto.iteration());
  } else if (message.has_entry()) {
    base::MutexLock lock(&progress->mutex);
    RETURN_IF_ERROR(progress->book.Apply(message.entry()));
    progress->answered_at[message.entry().labeler()] = absl::Now();
    progress->changed.NotifyAll();
  }
  return absl::OkStatus();
}

// One stream, to its end.
absl::Status ReadFeed(v1::TrainingService::Stub* training, const v1::Run& run,
                      RunProgress* progress, grpc::ClientContext* context) {
  v1::FollowLabelsRequest request;
  request.set_run_id(run.id());
  {
    base::MutexLock lock(&progress->mutex);
    request.set_from_position(progress->book.position() + 1);
  }
  const auto reader = training->FollowLabels(context, request);
  v1::LabelFeedMessage message;
  bool heard = false;
  absl::Status taken;
  while (taken.ok() && reader->Read(&message)) {
    heard = true;
    taken = Take(message, run.task(), progress);
  }
  if (!taken.ok()) context->TryCancel();
  const absl::Status status = rpc::FromGrpc(reader->Finish());
  if (!taken.ok()) return taken;
  if (!status.ok() && !absl::IsCancelled(status) && !base::IsRetryable(status)) return status;
  // a stream that ends while it is wanted is opened again: at once, and with growing waits
  // when nothing came
  return heard ? absl::OkStatus() : absl::UnavailableError("the label feed ended");
}

}  // namespace

std::unique_ptr<Listener> FollowFeed(const rpc::Client& broker, const v1::Run& run,
                                     RunProgress* progress, std::function<bool()> ended) {
  const std::shared_ptr<v1::TrainingService::Stub> training =
      v1::TrainingService::NewStub(broker.channel());
  return std::make_unique<Listener>(Listener::Config{
      .new_context = [&broker] { return broker.StreamContext(); },
      .call =
          [training, &run, progress](grpc::ClientContext* context) {
            return ReadFeed(training.get(), run, progress, context);
          },
      .ended = std::move(ended),
      .failed = [progress](absl::Status status) { progress->Fail(std::move(status)); }});
}

}  // namespace backflip::reward_trainer
