#include "services/policy_learner/ticket_book.h"

#include <algorithm>

namespace backflip::policy_learner {

void TicketBook::Add(TicketId ticket, bool urgent) {
  tickets_[ticket].urgent = urgent;
  waiting_.insert({!urgent, ticket});
}

void TicketBook::AddWorker(WorkerId worker, int threads, const std::string& process,
                           int64_t holder) {
  Worker& added = workers_[worker];
  added.threads = threads;
  added.process = process;
  added.holder = holder;
}

std::vector<TicketId> TicketBook::RemoveWorker(WorkerId worker) {
  std::vector<TicketId> deadly;
  const auto gone = workers_.extract(worker);
  if (gone.empty()) return deadly;
  for (auto& [id, ticket] : tickets_) {
    if (gone.mapped().tickets.contains(id)) {
      ticket.deaths.insert(gone.mapped().process);
      ticket.died_with.insert(gone.mapped().holder);
      if (ticket.deaths.size() >= kMostDeaths && AreEnough(ticket.died_with, kMostDeaths))
        deadly.push_back(id);
    }
    if (ticket.worker == worker) Wait(id, &ticket);
  }
  return deadly;
}

void TicketBook::Wait(TicketId id, Ticket* ticket) {
  ticket->worker = 0;
  waiting_.insert({!ticket->urgent, id});
}

bool TicketBook::AreEnough(const std::set<int64_t>& holders, int most) const {
  std::set<int64_t> all = holders;
  for (const auto& [id, worker] : workers_) {
    if (!worker.retired) all.insert(worker.holder);
  }
  return holders.size() >= std::min<size_t>(most, all.size());
}

int TicketBook::Doubt(const Ticket& ticket, WorkerId id, const Worker& worker) {
  if (ticket.failed.contains(id)) return 2;
  return ticket.failed_by.contains(worker.holder) || ticket.died_with.contains(worker.holder) ||
                 ticket.kept_by.contains(worker.holder)
             ? 1
             : 0;
}

bool TicketBook::MayTakeMore(const Worker& worker) const {
  if (worker.retired || worker.stuck) return false;
  if (worker.tickets.size() >= 2 * static_cast<size_t>(worker.threads)) return false;
  if (proven_.contains(worker.holder)) return true;
  size_t unproven = 0;
  for (const auto& [id, other] : workers_) {
    if (other.holder == worker.holder) unproven += other.tickets.size();
  }
  return unproven < kMostUnproven;
}

void TicketBook::RetireWorker(WorkerId worker) {
  const auto it = workers_.find(worker);
  if (it != workers_.end()) it->second.retired = true;
}

std::vector<TicketBook::Issue> TicketBook::IssueWaiting(absl::Time now) {
  std::vector<Issue> issues;
  for (auto place = waiting_.begin(); place != waiting_.end();) {
    const TicketId id = place->second;
    Ticket& ticket = tickets_[id];
    int least_doubt = 2;
    for (const auto& [worker_id, worker] : workers_) {
      if (!worker.retired && !worker.stuck)
        least_doubt = std::min(least_doubt, Doubt(ticket, worker_id, worker));
    }
    Worker* best = nullptr;
    WorkerId best_id = 0;
    bool someone = false;
    for (auto& [worker_id, worker] : workers_) {
      const auto load = static_cast<int64_t>(worker.tickets.size());
      if (!MayTakeMore(worker)) continue;
      someone = true;
      // after Reissue, the one that has it already is no help
      if (worker.tickets.contains(id)) continue;
      if (Doubt(ticket, worker_id, worker) > least_doubt) continue;
      if (best == nullptr ||
          load * best->threads < static_cast<int64_t>(best->tickets.size()) * worker.threads) {
        best = &worker;
        best_id = worker_id;
      }
    }
    if (!someone) break;
    if (best == nullptr) {
      ++place;
      continue;
    }
    ticket.worker = best_id;
    ticket.issued = now;
    best->tickets.insert(id);
    issues.push_back({best_id, id});
    place = waiting_.erase(place);
  }
  return issues;
}

bool TicketBook::Return(WorkerId worker, TicketId ticket) {
  const auto it = workers_.find(worker);
  if (it == workers_.end() || it->second.tickets.erase(ticket) == 0) return false;
  it->second.stuck = false;
  proven_.insert(it->second.holder);
  if (!tickets_.contains(ticket)) return false;
  Close(ticket);
  return true;
}

TicketBook::Failed TicketBook::Fail(WorkerId worker, TicketId id) {
  const auto it = workers_.find(worker);
  if (it == workers_.end() || it->second.tickets.erase(id) == 0) return {};
  const auto found = tickets_.find(id);
  if (found == tickets_.end()) return {};
  Ticket& ticket = found->second;
  ticket.failed.insert(worker);
  ticket.failed_by.insert(it->second.holder);
  if (ticket.worker == worker) Wait(id, &ticket);
  ++ticket.failures;
  return {ticket.failures,
          ticket.failures >= kMostFailures && AreEnough(ticket.failed_by, kMostFailures)};
}

void TicketBook::Reissue(absl::Time issued_before) {
  for (auto& [id, ticket] : tickets_) {
    if (ticket.worker == 0 || ticket.issued >= issued_before) continue;
    Worker& keeper = workers_.at(ticket.worker);
    keeper.stuck = true;
    ticket.kept_by.insert(keeper.holder);
    Wait(id, &ticket);
  }
}

void TicketBook::Close(TicketId ticket) {
  const auto it = tickets_.find(ticket);
  if (it == tickets_.end()) return;
  waiting_.erase({!it->second.urgent, ticket});
  tickets_.erase(it);
}

bool TicketBook::Knows(TicketId ticket) const {
  if (tickets_.contains(ticket)) return true;
  for (const auto& [id, worker] : workers_) {
    if (worker.tickets.contains(ticket)) return true;
  }
  return false;
}

}  // namespace backflip::policy_learner
