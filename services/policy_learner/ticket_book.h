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
  // A ticket that was failed so often, or that so many processes died on, cannot be served: but
  // only once as many holders of tokens, or all that there are, say so, for one of them may lie.
  // The book itself goes on issuing it.
  static constexpr int kMostFailures = 3;
  static constexpr int kMostDeaths = 5;
  // Tickets of workers of a holder of whom no rollout has come yet.
  static constexpr int kMostUnproven = 16;

  // Adds a ticket that waits for a worker. Urgent ones are issued before all others, and
  // smaller ids before greater ones.
  void Add(TicketId ticket, bool urgent);

  // `process`: its name, which stays the same when it connects again. `holder`: whose token it
  // came with; hosts may share one.
  void AddWorker(WorkerId worker, int threads, const std::string& process, int64_t holder);
  // Its tickets wait again, and it counts as a death on each. Returns those that cannot be served
  // by now.
  std::vector<TicketId> RemoveWorker(WorkerId worker);
  // It keeps its tickets and gets no others.
  void RetireWorker(WorkerId worker);

  // Issues waiting tickets to the workers with the fewest tickets for their threads, until
  // each has two for a thread: one to work on, and one to begin at once after it. A ticket is
  // never with two workers at a time. It goes to a holder who failed, kept or died on it only
  // when all there are did, and then to a worker that failed it in the same way. Whoever keeps a
  // ticket for too long gets no other before it returns one.
  std::vector<Issue> IssueWaiting(absl::Time now);

  // A rollout of the ticket has come. True: the first one, which closes the ticket. False: a
  // late or repeated one, or the ticket was never this worker's.
  bool Return(WorkerId worker, TicketId ticket);

  struct Failed {
    // How often; 0: it is not open, or not this worker's.
    int times = 0;
    bool cannot_be_served = false;
  };
  // The worker cannot serve the ticket, which waits again.
  Failed Fail(WorkerId worker, TicketId ticket);

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
    std::set<int64_t> failed_by;   // holders of these
    std::set<int64_t> died_with;   // and of those
    std::set<int64_t> kept_by;     // holders who had it for too long
  };
  struct Worker {
    int threads = 1;
    std::string process;
    int64_t holder = 0;
    bool retired = false;
    bool stuck = false;
    // Issued and not returned, closed ones included.
    std::set<TicketId> tickets;
  };
  using Place = std::pair<bool, TicketId>;  // not urgent, id

  void Wait(TicketId id, Ticket* ticket);
  // What speaks against a worker: 0 nothing, 1 its holder's tries, 2 its own.
  static int Doubt(const Ticket& ticket, WorkerId id, const Worker& worker);
  bool MayTakeMore(const Worker& worker) const;
  // Whether so many of `holders` are enough to give a ticket up.
  bool AreEnough(const std::set<int64_t>& holders, int most) const;

  std::map<TicketId, Ticket> tickets_;
  std::set<Place> waiting_;
  std::map<WorkerId, Worker> workers_;
  // Holders of whom a rollout has come.
  std::set<int64_t> proven_;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_TICKET_BOOK_H_
