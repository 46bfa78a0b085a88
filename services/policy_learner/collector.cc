#include "services/policy_learner/collector.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/draws.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/method/batches.h"
#include "common/method/pace.h"
#include "common/rpc/limits.h"
#include "common/rpc/protocol.h"

namespace backflip::policy_learner {
namespace {

constexpr int kMostThreads = 4096;
// A worker whose heart beats but that keeps a ticket so long is stuck.
constexpr absl::Duration kStuckAfter = absl::Minutes(2);
constexpr std::chrono::milliseconds kStopCheck(100);
constexpr char kRoundsOtherwise[] =
    "a worker rounds otherwise than the first one of this run, by its processor or its C library: "
    "the run learns all the same, but the same seed will not give the same run again; have workers "
    "of one kind where that matters";

}  // namespace

Collector::Collector(const v1::RunSpec& spec, const v1::TaskInfo& task, int64_t iteration,
                     std::vector<v1::EnvironmentState> environments, int32_t episode_steps)
    : spec_(spec),
      task_(task),
      shape_{task.observation_size(), task.action_size(), task.episode_steps(),
             spec.reward() == v1::TRUE},
      batch_(iteration),
      states_(std::move(environments)),
      episode_steps_(episode_steps) {}

Collector::Key Collector::KeyOf(const v1::Ticket& ticket) {
  return {ticket.purpose(), ticket.iteration(), ticket.index()};
}

std::shared_ptr<const Collector::Policy> Collector::MakePolicy(PolicyToAct info) {
  auto policy = std::make_shared<Policy>();
  const int64_t size = static_cast<int64_t>(info.bytes.size());
  for (int64_t at = 0; at == 0 || at < size; at += rpc::kChunkBytes) {
    auto message = std::make_shared<v1::LearnerMessage>();
    v1::PolicyChunk* chunk = message->mutable_policy();
    chunk->set_version(info.version);
    chunk->set_data(info.bytes.substr(at, rpc::kChunkBytes));
    chunk->set_last(at + rpc::kChunkBytes >= size);
    policy->chunks.push_back(std::move(message));
  }
  info.bytes.clear();
  policy->info = std::move(info);
  return policy;
}

void Collector::AddPolicy(PolicyToAct info, const std::map<int, v1::EnvironmentState>& restarts) {
  const auto policy = MakePolicy(std::move(info));
  base::MutexLock lock(&mutex_);
  if (policy->info.iteration != batch_ || batch_group_ != nullptr) return;
  if (batch_ >= method::Batches(spec_)) return;
  episode_steps_ = std::max(episode_steps_, method::EpisodeSteps(spec_, task_, batch_));
  batch_group_ = std::make_shared<Group>();
  OpenTickets(BatchTickets(policy->info.version, restarts), policy, batch_group_);
  Issue(absl::Now());
}

std::vector<std::shared_ptr<v1::LearnerMessage>> Collector::BatchTickets(
    int64_t policy_version, const std::map<int, v1::EnvironmentState>& restarts) const {
  const int environments = spec_.collection().environments();
  const int each = method::EnvironmentsPerTicket(spec_, task_);
  const int tickets = (environments + each - 1) / each;
  std::vector<std::shared_ptr<v1::LearnerMessage>> messages;
  for (int index = 0; index < tickets; ++index) {
    auto message = std::make_shared<v1::LearnerMessage>();
    v1::Ticket* ticket = message->mutable_ticket();
    ticket->set_iteration(batch_);
    ticket->set_index(index);
    ticket->set_purpose(v1::COLLECT);
    ticket->set_policy_version(policy_version);
    ticket->set_steps(method::StepsPerEnvironment(spec_));
    ticket->set_episode_steps(episode_steps_);
    const int first = index * each;
    const int last = std::min(environments, first + each);
    for (int e = first; e < last; ++e) {
      v1::EnvironmentStart* start = ticket->add_environments();
      if (const auto restart = restarts.find(e); restart != restarts.end()) {
        *start->mutable_state() = restart->second;
      } else if (states_.empty()) {
        start->set_reset_seed(base::SeedOf(spec_.seed(), base::Draw::kEnvironment, e));
        start->set_episode_step(method::FirstEpisodeStep(spec_, episode_steps_, e));
      } else {
        *start->mutable_state() = states_[e];
      }
    }
    if (spec_.reward() == v1::PREFERENCES) {
      ticket->set_clips(method::ClipsOf(spec_, first, last));
      ticket->set_clip_seed(base::SeedOf(spec_.seed(), base::Draw::kClips, batch_, index));
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

void Collector::OpenTickets(std::vector<std::shared_ptr<v1::LearnerMessage>> messages,
                            std::shared_ptr<const Policy> policy, std::shared_ptr<Group> group) {
  group->missing = static_cast<int>(messages.size());
  group->rollouts.resize(messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    const v1::Ticket& ticket = messages[i]->ticket();
    const TicketId id = next_ticket_++;
    ids_[KeyOf(ticket)] = id;
    book_.Add(id, ticket.purpose() == v1::COLLECT);
    open_[id] = {std::move(messages[i]), policy, group, static_cast<int>(i)};
  }
}

void Collector::Issue(absl::Time now) {
  for (const auto& [worker_id, ticket_id] : book_.IssueWaiting(now)) {
    Worker& worker = workers_.at(worker_id);
    const OpenTicket& ticket = open_.at(ticket_id);
    const int64_t version = ticket.policy->info.version;
    if (std::find(worker.policies.begin(), worker.policies.end(), version) ==
        worker.policies.end()) {
      for (const auto& chunk : ticket.policy->chunks) worker.link->Send(chunk);
      worker.policies.push_back(version);
      if (static_cast<int>(worker.policies.size()) > rpc::kPoliciesKept) {
        worker.policies.pop_front();
      }
    }
    worker.link->Send(ticket.message);
  }
}

template <typename Done>
absl::Status Collector::WaitFor(const std::function<bool()>& stop, Done done) {
  while (!done()) {
    if (!failure_.ok()) return failure_;
    if (stop()) return absl::CancelledError("stopped");
    changed_.WaitFor(&mutex_, kStopCheck);
  }
  return absl::OkStatus();
}

absl::StatusOr<Rollouts> Collector::WaitBatch(int64_t iteration,
                                              const std::function<bool()>& stop) {
  base::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(
      WaitFor(stop, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return batch_ > iteration; }));
  const std::shared_ptr<Group> group = std::move(complete_);
  complete_ = nullptr;
  states_.clear();
  for (const auto& rollout : group->rollouts) {
    for (const v1::Trajectory& trajectory : rollout->trajectories()) {
      states_.push_back(trajectory.end());
    }
  }
  return std::move(group->rollouts);
}

std::vector<v1::EnvironmentState> Collector::environments() const {
  base::MutexLock lock(&mutex_);
  return states_;
}

int32_t Collector::episode_steps() const {
  base::MutexLock lock(&mutex_);
  return episode_steps_;
}

int64_t Collector::Evaluate(const PolicyToAct& info, int first_episode,
                            const std::vector<uint64_t>& seeds, bool final_episodes) {
  auto policy = MakePolicy(info);
  std::vector<std::shared_ptr<v1::LearnerMessage>> messages;
  for (size_t i = 0; i < seeds.size(); ++i) {
    auto message = std::make_shared<v1::LearnerMessage>();
    v1::Ticket* ticket = message->mutable_ticket();
    ticket->set_iteration(info.iteration);
    ticket->set_index(first_episode + static_cast<int>(i));
    ticket->set_purpose(v1::EVALUATE);
    ticket->set_policy_version(info.version);
    ticket->add_environments()->set_reset_seed(seeds[i]);
    ticket->set_steps(task_.evaluation_steps());
    ticket->set_steps_trained(info.steps_trained);
    ticket->set_final(final_episodes);
    messages.push_back(std::move(message));
  }
  auto group = std::make_shared<Group>();
  base::MutexLock lock(&mutex_);
  const int64_t handle = next_evaluation_++;
  evaluations_[handle] = group;
  OpenTickets(std::move(messages), std::move(policy), group);
  Issue(absl::Now());
  return handle;
}

std::optional<Rollouts> Collector::TakeEvaluation(int64_t handle) {
  base::MutexLock lock(&mutex_);
  const auto it = evaluations_.find(handle);
  if (it == evaluations_.end() || it->second->missing > 0) return std::nullopt;
  Rollouts rollouts = std::move(it->second->rollouts);
  evaluations_.erase(it);
  return rollouts;
}

absl::StatusOr<Rollouts> Collector::WaitEvaluation(int64_t handle,
                                                   const std::function<bool()>& stop) {
  base::MutexLock lock(&mutex_);
  const auto it = evaluations_.find(handle);
  if (it == evaluations_.end()) return absl::NotFoundError("no such evaluation");
  const std::shared_ptr<Group> group = it->second;
  RETURN_IF_ERROR(WaitFor(stop, [&] { return group->missing == 0; }));
  evaluations_.erase(handle);
  return std::move(group->rollouts);
}

void Collector::ReleaseWorkers() {
  auto release = std::make_shared<v1::LearnerMessage>();
  release->mutable_release();
  base::MutexLock lock(&mutex_);
  if (released_) return;
  released_ = true;
  for (auto& [id, worker] : workers_) {
    book_.RetireWorker(id);
    worker.link->Send(release);
  }
}

void Collector::TakeWorkers() {
  base::MutexLock lock(&mutex_);
  released_ = false;
}

int64_t Collector::dropped() const {
  base::MutexLock lock(&mutex_);
  return dropped_;
}

int Collector::workers() const {
  base::MutexLock lock(&mutex_);
  return static_cast<int>(workers_.size());
}

absl::StatusOr<WorkerId> Collector::Connect(const v1::Register& hello, int64_t holder,
                                            WorkerLink* link, absl::Time now) {
  if (hello.protocol_major() != rpc::kProtocolMajor) {
    return absl::FailedPreconditionError(
        absl::StrCat("this learner speaks protocol ", rpc::kProtocolMajor, ".", rpc::kProtocolMinor,
                     ", the worker ", hello.protocol_major(), ".", hello.protocol_minor(),
                     "; run both from the same major version of Backflip"));
  }
  if (hello.task_fingerprint() != task_.fingerprint()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the worker's task has fingerprint ", hello.task_fingerprint(),
                     ", but this run's task ", task_.name(), " has ", task_.fingerprint(),
                     "; fetch the run's bundle again, and use the same version of MuJoCo "
                     "everywhere"));
  }
  if (hello.threads() < 1 || hello.threads() > kMostThreads) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the worker has ", hello.threads(), " simulation threads; allowed: 1 to ", kMostThreads));
  }
  if (!hello.rounding().empty() && hello.rounding().size() != base::kSha256Bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("Register.rounding has ", hello.rounding().size(),
                     " bytes; allowed: none, or the ", base::kSha256Bytes, " of a SHA-256"));
  }
  auto registered = std::make_shared<v1::LearnerMessage>();
  registered->mutable_registered()->set_protocol_minor(rpc::kProtocolMinor);
  base::MutexLock lock(&mutex_);
  const WorkerId id = next_worker_++;
  Worker& worker = workers_[id];
  worker.link = link;
  worker.heard = now;
  book_.AddWorker(id, hello.threads(), hello.worker(), holder);
  if (rounding_.empty()) rounding_ = hello.rounding();
  if (!hello.rounding().empty() && hello.rounding() != rounding_) {
    registered->mutable_registered()->set_warning(kRoundsOtherwise);
    base::LogWarning(kRoundsOtherwise, {{"worker", id}});
  }
  link->Send(std::move(registered));
  if (released_) {
    book_.RetireWorker(id);
    auto release = std::make_shared<v1::LearnerMessage>();
    release->mutable_release();
    link->Send(std::move(release));
  }
  Issue(now);
  return id;
}

absl::Status Collector::Return(WorkerId worker_id, std::unique_ptr<v1::Rollout> rollout,
                               absl::Time now) {
  const Key key{rollout->purpose(), rollout->iteration(), rollout->index()};
  TicketId id = 0;
  std::shared_ptr<const v1::LearnerMessage> asked;
  {
    base::MutexLock lock(&mutex_);
    const auto worker = workers_.find(worker_id);
    if (worker == workers_.end()) return absl::OkStatus();
    worker->second.heard = now;
    const auto it = ids_.find(key);
    if (it != ids_.end()) {
      id = it->second;
      const auto open = open_.find(id);
      if (open != open_.end()) asked = open->second.message;
    }
  }
  // outside the lock: it reads every number
  if (asked != nullptr) {
    if (absl::Status wrong = CheckRollout(asked->ticket(), shape_, *rollout); !wrong.ok()) {
      base::MutexLock lock(&mutex_);
      CountFailure(worker_id, id, std::string(wrong.message()));
      return wrong;
    }
  }

  base::MutexLock lock(&mutex_);
  if (!book_.Return(worker_id, id)) {
    ++dropped_;
  } else {
    const auto it = open_.find(id);
    const std::shared_ptr<Group> group = it->second.group;
    group->rollouts[it->second.place] = std::move(rollout);
    open_.erase(it);
    if (--group->missing == 0) {
      if (group == batch_group_) {
        complete_ = std::move(batch_group_);
        batch_group_ = nullptr;
        ++batch_;
      }
      changed_.NotifyAll();
    }
  }
  if (!book_.Knows(id)) ids_.erase(key);
  Issue(now);
  return absl::OkStatus();
}

void Collector::Fail(WorkerId worker_id, const v1::TicketFailure& failure, absl::Time now) {
  base::MutexLock lock(&mutex_);
  const auto worker = workers_.find(worker_id);
  const auto id = ids_.find({failure.purpose(), failure.iteration(), failure.index()});
  if (worker == workers_.end() || id == ids_.end()) return;
  worker->second.heard = now;
  CountFailure(worker_id, id->second, failure.reason());
  Issue(now);
}

void Collector::CountFailure(WorkerId worker, TicketId id, const std::string& reason) {
  const TicketBook::Failed failed = book_.Fail(worker, id);
  base::LogWarning("a ticket failed",
                   {{"worker", worker}, {"failures", failed.times}, {"reason", reason}});
  if (failed.cannot_be_served) {
    GiveUp(id, absl::StrCat(reason, "; tried ", failed.times, " times"));
  }
}

void Collector::GiveUp(TicketId id, const std::string& reason) {
  if (!failure_.ok()) return;
  const v1::Ticket& ticket = open_.at(id).message->ticket();
  failure_ = absl::FailedPreconditionError(
      absl::StrCat(ticket.purpose() == v1::EVALUATE ? "evaluation " : "batch ", ticket.iteration(),
                   ", ticket ", ticket.index(), ": ", reason));
  changed_.NotifyAll();
}

void Collector::Remove(WorkerId worker) {
  workers_.erase(worker);
  for (const TicketId id : book_.RemoveWorker(worker)) {
    GiveUp(id, absl::StrCat(TicketBook::kMostDeaths,
                            " workers ended or were lost while they simulated it; their logs say "
                            "why (too little memory, a fault in the model's physics)"));
  }
}

void Collector::Heard(WorkerId worker, absl::Time now) {
  base::MutexLock lock(&mutex_);
  const auto it = workers_.find(worker);
  if (it != workers_.end()) it->second.heard = now;
}

void Collector::Disconnect(WorkerId worker, absl::Time now) {
  base::MutexLock lock(&mutex_);
  if (!workers_.contains(worker)) return;
  Remove(worker);
  Issue(now);
}

void Collector::Tick(absl::Time now) {
  auto heartbeat = std::make_shared<v1::LearnerMessage>();
  heartbeat->mutable_heartbeat();
  base::MutexLock lock(&mutex_);
  std::vector<WorkerId> silent;
  for (auto& [id, worker] : workers_) {
    if (now - worker.heard > absl::Seconds(rpc::kSilenceSeconds)) {
      silent.push_back(id);
    } else {
      worker.link->Send(heartbeat);
    }
  }
  for (const WorkerId id : silent) {
    base::LogWarning("worker silent", {{"worker", id}});
    workers_[id].link->Cut(absl::DeadlineExceededError(absl::StrCat(
        "the worker sent nothing for ", rpc::kSilenceSeconds, " s; its tickets went to others")));
    Remove(id);
  }
  book_.Reissue(now - kStuckAfter);
  Issue(now);
}

}  // namespace backflip::policy_learner
