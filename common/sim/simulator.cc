#include "common/sim/simulator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::sim {
namespace {

using experience::End;

constexpr size_t kMaxWaiting = 4096;
// Steps after which a simulation looks whether the simulator stops.
constexpr int kStepsBetweenChecks = 64;

template <typename T>
void Append(const std::vector<T>& from, std::vector<T>* to) {
  to->insert(to->end(), from.begin(), from.end());
}

// Chooses the action [action_size] at an observation. Returns its log-probability:
// 0 unless it was sampled from the policy. `normals` [action_size] is scratch.
float Act(const Ticket& ticket, const float* observation, Environment* environment,
          absl::Span<float> normals, float* action) {
  if (ticket.policy == nullptr) {
    environment->DrawUniforms(absl::MakeSpan(action, normals.size()));
    return 0;
  }
  if (ticket.evaluation) {
    ticket.policy->Mean(observation, action);
    return 0;
  }
  environment->DrawNormals(normals);
  return ticket.policy->Act(observation, normals.data(), environment->noise(), action);
}

}  // namespace

struct Simulator::Job {
  Ticket ticket;
  Callback done;
  // The next environment to take; under the simulator's mutex.
  int next = 0;
  // Each thread writes the entries of its own environments.
  Rollout rollout;
  std::vector<absl::Status> statuses;
  std::atomic<int> left{0};
};

absl::StatusOr<std::unique_ptr<Simulator>> Simulator::Start(std::shared_ptr<const Task> task,
                                                            int threads) {
  if (threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat(threads, " simulation threads; at least 1"));
  }
  std::vector<std::unique_ptr<Environment>> environments;
  for (int i = 0; i < threads; ++i) {
    ASSIGN_OR_RETURN(auto environment, task->MakeEnvironment());
    environments.push_back(std::move(environment));
  }
  auto simulator = std::unique_ptr<Simulator>(new Simulator(std::move(task)));
  for (auto& environment : environments) {
    simulator->threads_.emplace_back(
        [s = simulator.get(), e = std::move(environment)]() mutable { s->Work(std::move(e)); });
  }
  return simulator;
}

Simulator::~Simulator() {
  std::deque<std::shared_ptr<Job>> untouched;
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    // environments that nobody took will not be simulated
    for (const auto& job : jobs_) {
      const int skipped = static_cast<int>(job->ticket.environments.size()) - job->next;
      job->statuses.back() = absl::CancelledError("the simulator stops");
      if (job->left.fetch_sub(skipped) == skipped) untouched.push_back(job);
    }
    jobs_.clear();
  }
  changed_.NotifyAll();
  for (const auto& job : untouched) job->done(job->statuses.back());
  for (std::thread& thread : threads_) thread.join();
}

absl::Status Simulator::Check(const Ticket& ticket) const {
  if (ticket.environments.empty()) {
    return absl::InvalidArgumentError("a ticket without environments");
  }
  if (ticket.steps < 1 || ticket.steps > 1000000) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ticket of ", ticket.steps, " steps; must be 1 to 1,000,000"));
  }
  for (const EnvironmentStart& start : ticket.environments) {
    if (start.episode_step < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("a fresh episode at step ", start.episode_step, "; must be at least 0"));
    }
  }
  if (ticket.policy != nullptr && (ticket.policy->observation_size() != task_->observation_size() ||
                                   ticket.policy->action_size() != task_->action_size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the policy takes ", ticket.policy->observation_size(), " observations to ",
                     ticket.policy->action_size(), " actions; task ", task_->name(), " has ",
                     task_->observation_size(), " and ", task_->action_size()));
  }
  return absl::OkStatus();
}

void Simulator::Submit(Ticket ticket, Callback done) {
  if (const absl::Status ok = Check(ticket); !ok.ok()) return done(ok);
  auto job = std::make_shared<Job>();
  const size_t size = ticket.environments.size();
  job->ticket = std::move(ticket);
  job->rollout.trajectories.resize(size);
  job->rollout.ends.resize(size);
  job->rollout.truths.resize(size);
  job->rollout.recordings.resize(size);
  job->statuses.resize(size);
  job->left = static_cast<int>(size);
  absl::Status refused;
  {
    base::MutexLock lock(&mutex_);
    if (stopping_) {
      refused = absl::CancelledError("the simulator stops");
    } else if (jobs_.size() >= kMaxWaiting) {
      refused = absl::ResourceExhaustedError(absl::StrCat(jobs_.size(), " tickets wait already"));
    } else {
      job->done = std::move(done);
      jobs_.push_back(std::move(job));
    }
  }
  if (!refused.ok()) return done(refused);
  changed_.NotifyAll();
}

absl::StatusOr<Rollout> Simulator::Run(Ticket ticket) {
  base::Mutex mutex;
  base::CondVar finished;
  std::optional<absl::StatusOr<Rollout>> result;
  Submit(std::move(ticket), [&](absl::StatusOr<Rollout> rollout) {
    base::MutexLock lock(&mutex);
    result = std::move(rollout);
    finished.NotifyAll();
  });
  base::MutexLock lock(&mutex);
  while (!result.has_value()) finished.Wait(&mutex);
  return *std::move(result);
}

void Simulator::Work(std::unique_ptr<Environment> environment) {
  while (true) {
    std::shared_ptr<Job> job;
    int index = 0;
    {
      base::MutexLock lock(&mutex_);
      while (jobs_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (jobs_.empty()) return;
      job = jobs_.front();
      index = job->next++;
      if (job->next == static_cast<int>(job->ticket.environments.size())) {
        jobs_.pop_front();
      }
    }
    job->statuses[index] = Simulate(job->ticket, index, environment.get(), &job->rollout);
    if (job->left.fetch_sub(1) > 1) continue;
    // the last one hands the rollout over
    absl::StatusOr<Rollout> result = std::move(job->rollout);
    for (const absl::Status& status : job->statuses) {
      if (!status.ok()) {
        result = status;
        break;
      }
    }
    job->done(std::move(result));
  }
}

absl::Status Simulator::Simulate(const Ticket& ticket, int index, Environment* environment,
                                 Rollout* rollout) {
  const size_t observation_size = task_->observation_size(), action_size = task_->action_size();
  const size_t state_size = task_->state_size(), steps = ticket.steps;
  const int episode_steps = ticket.evaluation          ? task_->task().evaluation_steps()
                            : ticket.episode_steps > 0 ? ticket.episode_steps
                                                       : task_->task().episode_steps();
  experience::Trajectory& out = rollout->trajectories[index];
  Recording& recording = rollout->recordings[index];
  out.steps = ticket.steps;
  out.observations.resize(steps * observation_size);
  out.actions.resize(steps * action_size);
  if (!ticket.evaluation) out.log_probs.resize(steps);
  out.last_observation.resize(observation_size);
  if (task_->has_true_reward()) out.true_rewards.resize(steps);
  recording.states.resize(steps * state_size);
  recording.last_state.resize(state_size);

  const auto purpose =
      ticket.evaluation ? Environment::Purpose::kEvaluation : Environment::Purpose::kTraining;
  const EnvironmentStart& start = ticket.environments[index];
  RETURN_IF_ERROR(start.state.has_value()
                      ? environment->Restore(*start.state)
                      : environment->Begin(start.reset_seed, purpose, start.episode_step));
  Truth::Episode episode;
  std::vector<float> normals(action_size);
  for (size_t t = 0; t < steps; ++t) {
    if (t % kStepsBetweenChecks == 0 && stopping_) {
      return absl::CancelledError("the simulator stops");
    }
    float* observation = &out.observations[t * observation_size];
    float* action = &out.actions[t * action_size];
    environment->Observe(observation);
    environment->RecordState(&recording.states[t * state_size]);
    const float log_prob = Act(ticket, observation, environment, absl::MakeSpan(normals), action);
    if (!out.log_probs.empty()) out.log_probs[t] = log_prob;
    ASSIGN_OR_RETURN(const StepResult step, environment->Step(action));
    if (!out.true_rewards.empty()) out.true_rewards[t] = static_cast<float>(step.true_reward);
    episode.true_return += step.true_reward;

    End end = step.end;
    if (end == End::kNone && environment->episode_step() >= episode_steps) end = End::kTimeLimit;
    if (end == End::kNone && t + 1 < steps) continue;
    environment->Observe(out.last_observation.data());
    environment->RecordState(recording.last_state.data());
    episode.metrics = environment->Metrics();
    rollout->truths[index].episodes.push_back(std::exchange(episode, {}));
    if (end == End::kNone) continue;  // the ticket's end
    out.episode_ends.push_back({static_cast<int32_t>(t), end});
    Append(out.last_observation, &out.end_observations);
    Append(recording.last_state, &recording.end_states);
    RETURN_IF_ERROR(environment->BeginEpisode(purpose));
  }
  rollout->ends[index] = environment->Save();
  steps_.fetch_add(ticket.steps, std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace backflip::sim
