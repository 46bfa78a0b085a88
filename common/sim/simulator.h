// Simulation threads: tickets in, rollouts out.
#ifndef BACKFLIP_COMMON_SIM_SIMULATOR_H_
#define BACKFLIP_COMMON_SIM_SIMULATOR_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/experience/trajectory.h"
#include "common/nn/policy.h"
#include "common/sim/environment.h"
#include "common/sim/task.h"

namespace backflip::sim {

// Where an environment of a ticket starts: a fresh episode, or a state that an
// earlier rollout returned.
struct EnvironmentStart {
  uint64_t reset_seed = 0;  // used when there is no state
  std::optional<EnvironmentState> state;
  // How old a fresh episode counts as: its time limit comes sooner by so many steps. At least 0.
  int32_t episode_step = 0;
};

struct Ticket {
  // Null: uniform random actions in [-1, 1], with log-probabilities of 0.
  std::shared_ptr<const nn::Policy> policy;
  // Mean actions and episodes of evaluation_steps, instead of sampled actions
  // and episodes of episode_steps.
  bool evaluation = false;
  int32_t episode_steps = 0;  // 0: the task's
  std::vector<EnvironmentStart> environments;
  int32_t steps = 0;  // of each environment, 1 to 1,000,000
};

// What only teachers and charts may see of an environment, besides its true
// rewards.
struct Truth {
  // A piece of the trajectory (experience::PiecesOf): an episode, or as much of it
  // as lies within the ticket.
  struct Episode {
    double true_return = 0;
    std::vector<double> metrics;  // in the task's order
  };
  std::vector<Episode> episodes;  // in the order of the pieces
};

// States for clips and pictures: [steps, state_size] as each action was chosen,
// [episode_ends, state_size], [state_size], as the observations.
struct Recording {
  std::vector<double> states;
  std::vector<double> end_states;
  std::vector<double> last_state;
};

// One of each for each environment of the ticket, in its order.
struct Rollout {
  // True rewards are in them wherever the task has some.
  std::vector<experience::Trajectory> trajectories;
  // Where a later ticket goes on: after the reset, if the last step ended an
  // episode.
  std::vector<EnvironmentState> ends;
  std::vector<Truth> truths;
  std::vector<Recording> recordings;
};

// Threads that take environments of tickets one by one, so that no thread waits
// for another. A rollout depends on its ticket alone: not on the number of
// threads, not on what else is simulated. Thread-safe.
class Simulator {
 public:
  using Callback = std::function<void(absl::StatusOr<Rollout>)>;

  // Starts `threads` threads, at least 1.
  static absl::StatusOr<std::unique_ptr<Simulator>> Start(std::shared_ptr<const Task> task,
                                                          int threads);
  // Tickets in work end with Cancelled; returns when all callbacks have.
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  const Task& task() const { return *task_; }
  int threads() const { return static_cast<int>(threads_.size()); }
  // Control steps since the start, of all threads.
  int64_t steps() const { return steps_.load(std::memory_order_relaxed); }

  // Queues a ticket; never blocks. `done` is called once, on a simulation
  // thread (or on the caller's, for a ticket that is refused), and must not
  // block. InvalidArgument: a policy, start or step count that does not fit;
  // ResourceExhausted: over 4,096 tickets wait.
  void Submit(Ticket ticket, Callback done);
  // Submit, and wait.
  absl::StatusOr<Rollout> Run(Ticket ticket);

 private:
  struct Job;

  Simulator(std::shared_ptr<const Task> task) : task_(std::move(task)) {}
  absl::Status Check(const Ticket& ticket) const;
  void Work(std::unique_ptr<Environment> environment);
  // One environment of the ticket, from its start to its last step.
  absl::Status Simulate(const Ticket& ticket, int index, Environment* environment,
                        Rollout* rollout);

  const std::shared_ptr<const Task> task_;
  std::vector<std::thread> threads_;
  std::atomic<int64_t> steps_{0};
  std::atomic<bool> stopping_{false};
  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_SIMULATOR_H_
