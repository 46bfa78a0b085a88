#include "services/reward_trainer/listener.h"

#include <utility>

#include "absl/time/time.h"
#include "common/base/retry.h"

namespace backflip::reward_trainer {

Listener::Listener(Config config) : config_(std::move(config)), thread_([this] { Run(); }) {}

Listener::~Listener() {
  Stop();
  thread_.join();
}

void Listener::Stop() {
  base::MutexLock lock(&mutex_);
  stopped_ = true;
  if (in_progress_ != nullptr) in_progress_->TryCancel();
}

void Listener::Run() {
  base::RetryPolicy forever;
  forever.give_up_after = absl::InfiniteDuration();
  while (!config_.ended()) {
    const absl::Status status = base::Retry(forever, config_.ended, [this] {
      const std::unique_ptr<grpc::ClientContext> context = config_.new_context();
      {
        base::MutexLock lock(&mutex_);
        if (stopped_) return absl::CancelledError("stopped");
        in_progress_ = context.get();
      }
      absl::Status status = config_.call(context.get());
      base::MutexLock lock(&mutex_);
      in_progress_ = nullptr;
      return status;
    });
    if (config_.ended()) return;
    if (!status.ok()) return config_.failed(status);
  }
}

}  // namespace backflip::reward_trainer
