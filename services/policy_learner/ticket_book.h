// Which tickets wait for a worker, and which worker has which.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_TICKET_BOOK_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_TICKET_BOOK_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace backflip::policy_learner {

using WorkerId = int64_t;
using TicketId = int64_t;

// Not thread-safe.
class TicketBook {
 public:
  struct Issue {
    WorkerId worker;
    TicketId ticket;
  };
  // A ticket that was failed so often, or that so many processes died on, is given up by
  // whoever asks; the book itself goes on issuing it.
  static constexpr int kMostFailures = 3;
  static constexpr int kMostDeaths = 5;

  // Adds a ticket that waits for a worker. Urgent ones are issued before all others, and
  // smaller ids before greater ones.
  void Add(TicketId ticket, bool urgent);

  // `process`: its name, which stays the same when it connects again.
  void AddWorker(WorkerId worker, int threads, const std::string& process);
  // Its tickets wait again, and it counts as a death on each. Returns those on which
  // kMostDeaths processes have died by now.
  std::vector<TicketId> RemoveWorker(WorkerId worker);
  // It keeps its tickets and gets no others.
  void RetireWorker(WorkerId worker);

  // Issues waiting tickets to the workers with the fewest tickets for their threads, until
  // each has two for a thread: one to work on, and one to begin at once after it. A ticket is
  // never with two workers at a time, and goes to a worker that failed it only when all there
  // are did.
  std::vector<Issue> IssueWaiting(absl::Time now);

  // A rollout of the ticket has come. True: the first one, which closes the ticket. False: a
  // late or repeated one, or the ticket was never this worker's.
  bool Return(WorkerId worker, TicketId ticket);

  // The worker cannot serve the ticket, which waits again. How often it was failed; 0: it is
  // not open, or not this worker's.
  int Fail(WorkerId worker, TicketId ticket);

  // Tickets that were issued before `issued_before` wait again, although their worker is
  // still there; they count as its load until it returns them or goes. The first rollout
  // counts.
  void Reissue(absl::Time issued_before);

  // Nobody needs the ticket any longer.
  void Close(TicketId ticket);

  // Whether it is open, or a worker may still return it.
  bool Knows(TicketId ticket) const;

  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t open() const { return static_cast<int64_t>(tickets_.size()); }

 private:
  struct Ticket {
    bool urgent = false;
    // The worker that it was issued to last; 0: it waits.
    WorkerId worker = 0;
    absl::Time issued;
    int failures = 0;
    std::set<WorkerId> failed;     // those that failed it
    std::set<std::string> deaths;  // processes that went while they had it
  };
  struct Worker {
    int threads = 1;
    std::string process;
    bool retired = false;
    // Issued and not returned, closed ones included.
    std::set<TicketId> tickets;
  };
  using Place = std::pair<bool, TicketId>;  // not urgent, id

  void Wait(TicketId id, Ticket* ticket);
  bool AllFailed(const Ticket& ticket) const;

  std::map<TicketId, Ticket> tickets_;
  std::set<Place> waiting_;
  std::map<WorkerId, Worker> workers_;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_TICKET_BOOK_H_
