// A long call to the broker, made again and again from a thread of its own.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_LISTENER_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_LISTENER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "common/base/mutex.h"

namespace backflip::reward_trainer {

class Listener {
 public:
  struct Config {
    std::function<std::unique_ptr<grpc::ClientContext>()> new_context;
    // Makes the call and handles what comes. Called again at once after OK, and with
    // growing waits after an error that may pass (base::IsRetryable).
    std::function<absl::Status(grpc::ClientContext*)> call;
    // Ends the thread when it answers true. Thread-safe, as `failed` is.
    std::function<bool()> ended;
    // Called for any other error, which ends the thread.
    std::function<void(absl::Status)> failed;
  };
  // Starts the thread.
  explicit Listener(Config config);
  // Stops and joins.
  ~Listener();

  // Cancels the call in progress, and makes no more. Thread-safe; does not block.
  void Stop();

 private:
  void Run();

  const Config config_;
  base::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* in_progress_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_LISTENER_H_
