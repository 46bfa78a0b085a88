#include "services/policy_learner/ticket_book.h"

#include <algorithm>

namespace backflip::policy_learner {

void TicketBook::Add(TicketId ticket, bool urgent) {
  tickets_[ticket].urgent = urgent;
  waiting_.insert({!urgent, ticket});
}

void TicketBook::AddWorker(WorkerId worker, int threads, const std::string& process) {
  workers_[worker].threads = threads;
  workers_[worker].process = process;
}

std::vector<TicketId> TicketBook::RemoveWorker(WorkerId worker) {
  std::vector<TicketId> deadly;
  const auto gone = workers_.extract(worker);
  if (gone.empty()) return deadly;
  for (auto& [id, ticket] : tickets_) {
    if (gone.mapped().tickets.contains(id)) {
      ticket.deaths.insert(gone.mapped().process);
      if (ticket.deaths.size() >= kMostDeaths) deadly.push_back(id);
    }
    if (ticket.worker == worker) Wait(id, &ticket);
  }
  return deadly;
}

void TicketBook::Wait(TicketId id, Ticket* ticket) {
  ticket->worker = 0;
  waiting_.insert({!ticket->urgent, id});
}

bool TicketBook::AllFailed(const Ticket& ticket) const {
  return std::all_of(workers_.begin(), workers_.end(), [&](const auto& worker) {
    return worker.second.retired || ticket.failed.contains(worker.first);
  });
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
    const bool anyone = !ticket.failed.empty() && AllFailed(ticket);
    Worker* best = nullptr;
    WorkerId best_id = 0;
    bool someone = false;
    for (auto& [worker_id, worker] : workers_) {
      const auto load = static_cast<int64_t>(worker.tickets.size());
      if (worker.retired || load >= 2 * worker.threads) continue;
      someone = true;
      // after Reissue, the one that has it already is no help
      if (worker.tickets.contains(id)) continue;
      if (!anyone && ticket.failed.contains(worker_id)) continue;
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
  if (!tickets_.contains(ticket)) return false;
  Close(ticket);
  return true;
}

int TicketBook::Fail(WorkerId worker, TicketId id) {
  const auto it = workers_.find(worker);
  if (it == workers_.end() || it->second.tickets.erase(id) == 0) return 0;
  const auto found = tickets_.find(id);
  if (found == tickets_.end()) return 0;
  Ticket& ticket = found->second;
  ticket.failed.insert(worker);
  if (ticket.worker == worker) Wait(id, &ticket);
  return ++ticket.failures;
}

void TicketBook::Reissue(absl::Time issued_before) {
  for (auto& [id, ticket] : tickets_) {
    if (ticket.worker == 0 || ticket.issued >= issued_before) continue;
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
