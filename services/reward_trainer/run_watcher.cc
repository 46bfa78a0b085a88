#include "services/reward_trainer/run_watcher.h"

#include <algorithm>
#include <utility>

#include "backflip/v1/run.grpc.pb.h"
#include "common/base/status_macros.h"
#include "common/rpc/limits.h"
#include "common/rpc/status.h"

namespace backflip::reward_trainer {

std::unique_ptr<Listener> WatchRun(const rpc::Client& broker, int64_t run_id, RunProgress* progress,
                                   std::function<bool()> ended) {
  const std::shared_ptr<v1::RunService::Stub> runs = v1::RunService::NewStub(broker.channel());
  v1::WatchRunRequest request;
  request.set_run_id(run_id);
  request.set_wait_ms(rpc::kMaxWaitMs);
  const auto watch = [runs, request,
                      progress](grpc::ClientContext* context) mutable -> absl::Status {
    v1::Run run;
    RETURN_IF_ERROR(rpc::FromGrpc(runs->Watch(context, request, &run)));
    request.set_since_revision(run.revision());
    base::MutexLock lock(&progress->mutex);
    progress->batches = std::max(progress->batches, run.iterations());
    progress->asking_stopped = run.asking_stopped();
    progress->long_held = run.long_held();
    if (run.state() != v1::RUNNING) progress->run_over = true;
    progress->changed.NotifyAll();
    return absl::OkStatus();
  };
  return std::make_unique<Listener>(Listener::Config{
      .new_context = [&broker] { return broker.LongPollContext(); },
      .call = watch,
      .ended = std::move(ended),
      .failed = [progress](absl::Status status) { progress->Fail(std::move(status)); }});
}

}  // namespace backflip::reward_trainer
