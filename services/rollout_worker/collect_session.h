// A worker's end of one Collect stream.
#ifndef BACKFLIP_SERVICES_ROLLOUT_WORKER_COLLECT_SESSION_H_
#define BACKFLIP_SERVICES_ROLLOUT_WORKER_COLLECT_SESSION_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/collect.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/work.pb.h"
#include "common/base/mutex.h"
#include "common/nn/policy.h"
#include "common/rpc/client.h"
#include "common/sim/simulator.h"

namespace backflip::rollout_worker {

// Serves one learner until it lets go. Simulation threads never wait for an
// upload: what they made goes through one more thread, which stores clips and
// evaluations at the broker and only then returns the rollout.
class CollectSession {
 public:
  // `simulator` is the assignment's task; not owned, and outlives the session's
  // last ticket, which the simulator's end sees to. `rounding`: as of Register. `wanted_elsewhere`
  // is asked now and then, from a thread of the session's own, and may block for some seconds: true
  // drains the session.
  CollectSession(const rpc::Client& broker, v1::Assignment assignment, std::string worker,
                 sim::Simulator* simulator, std::string rounding,
                 std::function<bool()> wanted_elsewhere);
  ~CollectSession();

  // Blocks until the learner has released the worker, a drain is over (OK), or
  // the stream has broken or was refused (its status).
  absl::Status Run();

  // Whether any ticket came. Thread-safe.
  bool HadWork() const;

  // Returns what is in hand, takes nothing new, and ends. Thread-safe, does not
  // block.
  void Drain();

 private:
  struct Finished;
  struct State;

  void TakePolicy(const v1::PolicyChunk& chunk);
  absl::Status TakeTicket(const v1::Ticket& ticket);
  // Ends the stream because of `status`.
  void Fail(absl::Status status);

  // The returning thread.
  void ReturnLoop();
  // Stores what came of the tickets at the broker, then tells the learner. An error ends the
  // stream; what is the matter with a ticket does not, the learner is told.
  absl::Status Return(std::deque<Finished> finished);
  absl::Status Store(std::vector<v1::Clip> clips, bool asked,
                     const std::vector<v1::ReportEvaluationRequest>& reports);
  absl::Status Upload(std::vector<v1::Clip> clips);
  absl::Status Report(const v1::ReportEvaluationRequest& request);
  absl::Status Write(const v1::WorkerMessage& message);
  bool GiveUp();

  void HeartbeatLoop();

  const rpc::Client broker_;
  const v1::Assignment assignment_;
  const std::string worker_;
  sim::Simulator* const simulator_;
  const std::string rounding_;
  const std::function<bool()> wanted_elsewhere_;
  const rpc::Client learner_;
  const std::unique_ptr<v1::ClipService::Stub> clips_;
  const std::unique_ptr<v1::RunService::Stub> runs_;
  const std::unique_ptr<v1::CollectService::Stub> collect_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::LearnerMessage>> stream_;
  base::Mutex write_mutex_;
  bool half_closed_ ABSL_GUARDED_BY(write_mutex_) = false;

  // The reading thread's alone.
  std::string policy_bytes_;
  // By version; an error: it cannot be read.
  std::deque<std::pair<int64_t, absl::StatusOr<std::shared_ptr<const nn::Policy>>>> policies_;

  // The returning thread's alone: what the broker said it wants; -1: nothing
  // yet.
  int wanted_ = -1;
  absl::Time wanted_at_;

  // Shared with the simulator's callbacks, which may outlive the session.
  const std::shared_ptr<State> state_;
};

}  // namespace backflip::rollout_worker

#endif  // BACKFLIP_SERVICES_ROLLOUT_WORKER_COLLECT_SESSION_H_
