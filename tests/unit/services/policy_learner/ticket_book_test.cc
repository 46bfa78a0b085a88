#include "services/policy_learner/ticket_book.h"

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace backflip::policy_learner {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const absl::Time kStart = absl::UnixEpoch() + absl::Hours(1);
// Of tokens: one that hosts share, and one of somebody who does harm.
constexpr int64_t kHolder = 1, kHarmful = 2;

std::vector<TicketId> TicketsOf(WorkerId worker, const std::vector<TicketBook::Issue>& issues) {
  std::vector<TicketId> tickets;
  for (const auto& issue : issues) {
    if (issue.worker == worker) tickets.push_back(issue.ticket);
  }
  return tickets;
}

TicketBook WithTickets(int count) {
  TicketBook book;
  for (int i = 1; i <= count; ++i) book.Add(i, true);
  return book;
}

TEST(TicketBook, IssuesInOrderAndUrgentOnesFirst) {
  TicketBook book;
  book.Add(1, false);
  book.Add(3, true);
  book.Add(2, true);
  book.AddWorker(7, 2, "process 7", kHolder);
  EXPECT_THAT(TicketsOf(7, book.IssueWaiting(kStart)), ElementsAre(2, 3, 1));
}

TEST(TicketBook, GivesAWorkerTwoTicketsForEachThread) {
  TicketBook book = WithTickets(10);
  book.AddWorker(7, 2, "process 7", kHolder);
  EXPECT_THAT(TicketsOf(7, book.IssueWaiting(kStart)), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(book.IssueWaiting(kStart), IsEmpty());
  EXPECT_TRUE(book.Return(7, 2));
  EXPECT_THAT(TicketsOf(7, book.IssueWaiting(kStart)), ElementsAre(5));
}

TEST(TicketBook, SharesByThreads) {
  TicketBook book = WithTickets(6);
  book.AddWorker(1, 1, "process 1", kHolder);
  book.AddWorker(2, 3, "process 2", kHolder);
  const auto issues = book.IssueWaiting(kStart);
  EXPECT_EQ(TicketsOf(1, issues).size(), 2u);
  EXPECT_EQ(TicketsOf(2, issues).size(), 4u);
}

TEST(TicketBook, IssuesADeadWorkersTicketsAgain) {
  TicketBook book = WithTickets(4);
  book.AddWorker(1, 2, "process 1", kHolder);
  ASSERT_EQ(book.IssueWaiting(kStart).size(), 4u);
  EXPECT_TRUE(book.Return(1, 3));
  book.RemoveWorker(1);
  EXPECT_EQ(book.waiting(), 3);
  book.AddWorker(2, 4, "process 2", kHolder);
  EXPECT_THAT(TicketsOf(2, book.IssueWaiting(kStart)), ElementsAre(1, 2, 4));
}

TEST(TicketBook, NeverTakesATicketTwice) {
  TicketBook book = WithTickets(1);
  book.AddWorker(1, 1, "process 1", kHolder);
  ASSERT_EQ(book.IssueWaiting(kStart).size(), 1u);
  EXPECT_TRUE(book.Return(1, 1));
  EXPECT_FALSE(book.Return(1, 1));
  EXPECT_EQ(book.open(), 0);
}

TEST(TicketBook, TakesATicketOfThoseAloneWhoWereGivenIt) {
  TicketBook book = WithTickets(1);
  book.AddWorker(1, 1, "process 1", kHolder);
  ASSERT_EQ(book.IssueWaiting(kStart).size(), 1u);
  book.AddWorker(2, 1, "process 2", kHolder);
  EXPECT_FALSE(book.Return(2, 1));
  EXPECT_EQ(book.Fail(2, 1).times, 0);
  EXPECT_FALSE(book.Return(9, 1)) << "nobody";
  EXPECT_TRUE(book.Return(1, 1));
}

TEST(TicketBook, TakesTheFirstOfTwoWorkersAfterAReissue) {
  TicketBook book = WithTickets(1);
  book.AddWorker(1, 1, "process 1", kHolder);
  ASSERT_EQ(book.IssueWaiting(kStart).size(), 1u);
  book.Reissue(kStart);
  EXPECT_THAT(book.IssueWaiting(kStart), IsEmpty()) << "not that old";
  book.Reissue(kStart + absl::Seconds(1));
  EXPECT_THAT(book.IssueWaiting(kStart), IsEmpty()) << "the stuck worker has it";
  book.AddWorker(2, 1, "process 2", kHolder);
  EXPECT_THAT(TicketsOf(2, book.IssueWaiting(kStart)), ElementsAre(1));
  EXPECT_TRUE(book.Return(2, 1));
  EXPECT_TRUE(book.Knows(1)) << "the stuck worker may still return it";
  EXPECT_FALSE(book.Return(1, 1));
  EXPECT_FALSE(book.Knows(1));
}

TEST(TicketBook, KeepsAReissuedTicketWithItsNewWorkerWhenTheOldOneGoes) {
  TicketBook book = WithTickets(1);
  book.AddWorker(1, 1, "process 1", kHolder);
  ASSERT_EQ(book.IssueWaiting(kStart).size(), 1u);
  book.Reissue(kStart + absl::Seconds(1));
  book.AddWorker(2, 1, "process 2", kHolder);
  ASSERT_EQ(book.IssueWaiting(kStart).size(), 1u);
  book.RemoveWorker(1);
  EXPECT_EQ(book.waiting(), 0);
}

TEST(TicketBook, GivesARetiredWorkerNothingNew) {
  TicketBook book = WithTickets(3);
  book.AddWorker(1, 1, "process 1", kHolder);
  ASSERT_EQ(book.IssueWaiting(kStart).size(), 2u);
  book.RetireWorker(1);
  EXPECT_TRUE(book.Return(1, 1));
  EXPECT_THAT(book.IssueWaiting(kStart), IsEmpty());
  EXPECT_TRUE(book.Return(1, 2)) << "but takes what it had";
}

TEST(TicketBook, ForgetsAClosedTicket) {
  TicketBook book = WithTickets(2);
  book.Close(1);
  book.AddWorker(1, 1, "process 1", kHolder);
  EXPECT_THAT(TicketsOf(1, book.IssueWaiting(kStart)), ElementsAre(2));
}

TEST(TicketBook, TriesAFailedTicketOnAnotherWorker) {
  TicketBook book = WithTickets(1);
  book.AddWorker(1, 4, "process 1", kHolder);
  book.AddWorker(2, 1, "process 2", kHolder);
  ASSERT_THAT(TicketsOf(1, book.IssueWaiting(kStart)), ElementsAre(1));
  EXPECT_EQ(book.Fail(1, 1).times, 1);
  EXPECT_THAT(TicketsOf(2, book.IssueWaiting(kStart)), ElementsAre(1));
  EXPECT_EQ(book.Fail(2, 1).times, 2);
  EXPECT_EQ(book.IssueWaiting(kStart).size(), 1u) << "both have failed it: whoever there is";
}

TEST(TicketBook, WaitsForAWorkerThatHasNotFailedTheTicket) {
  TicketBook book = WithTickets(5);
  book.AddWorker(1, 1, "process 1", kHolder);
  book.AddWorker(2, 1, "process 2", kHolder);
  const auto issues = book.IssueWaiting(kStart);
  const TicketId failed = TicketsOf(1, issues)[0], other = TicketsOf(2, issues)[0];
  EXPECT_EQ(book.Fail(1, failed).times, 1);
  EXPECT_THAT(TicketsOf(1, book.IssueWaiting(kStart)), ElementsAre(5)) << "the other is busy";
  EXPECT_TRUE(book.Return(2, other));
  EXPECT_THAT(TicketsOf(2, book.IssueWaiting(kStart)), ElementsAre(failed));
}

TEST(TicketBook, KnowsTicketsThatProcessesDieOn) {
  TicketBook book = WithTickets(2);
  for (WorkerId worker = 1; worker <= TicketBook::kMostDeaths + 1; ++worker) {
    // one process comes twice: it has lost its connection
    book.AddWorker(worker, 1, worker <= 2 ? "process 1" : std::to_string(worker), kHolder);
    ASSERT_EQ(book.IssueWaiting(kStart).size(), 2u);
    const std::vector<TicketId> deadly = book.RemoveWorker(worker);
    if (worker <= TicketBook::kMostDeaths) {
      EXPECT_THAT(deadly, IsEmpty());
    } else {
      EXPECT_THAT(deadly, ElementsAre(1, 2));
    }
  }
}

TEST(TicketBook, IsNotGivenUpOnTheWordOfOneHolderWhileAnotherIsThere) {
  TicketBook book = WithTickets(1);
  book.AddWorker(1, 1, "busy", kHolder);
  ASSERT_THAT(TicketsOf(1, book.IssueWaiting(kStart)), ElementsAre(1));
  book.Add(2, true);
  book.Add(3, true);
  for (WorkerId worker = 2; worker < 2 + 2 * TicketBook::kMostFailures; ++worker) {
    book.AddWorker(worker, 1, std::to_string(worker), kHarmful);
  }
  ASSERT_THAT(TicketsOf(1, book.IssueWaiting(kStart)), IsEmpty());
  EXPECT_EQ(book.Fail(2, 2).times, 1);
  EXPECT_EQ(book.Fail(3, 3).times, 1);
  // the other holder is the one to try next, though workers of this one are free
  EXPECT_THAT(book.IssueWaiting(kStart),
              ElementsAre(::testing::Field(&TicketBook::Issue::worker, 1)));
}

TEST(TicketBook, IsGivenUpWhenEveryHolderFailsIt) {
  TicketBook book = WithTickets(1);
  book.AddWorker(1, 1, "a", kHolder);
  book.AddWorker(2, 1, "b", kHarmful);
  int failures = 0;
  for (bool given_up = false; !given_up;) {
    const auto issues = book.IssueWaiting(kStart);
    ASSERT_EQ(issues.size(), 1u);
    const TicketBook::Failed failed = book.Fail(issues[0].worker, 1);
    given_up = failed.cannot_be_served;
    EXPECT_EQ(failed.times, ++failures);
  }
  EXPECT_EQ(failures, TicketBook::kMostFailures);
}

TEST(TicketBook, IsNotGivenUpForDeathsOfOneHolderWhileAnotherIsThere) {
  TicketBook book = WithTickets(1);
  WorkerId worker = 1;
  for (; worker < TicketBook::kMostDeaths; ++worker) {
    book.AddWorker(worker, 1, std::to_string(worker), kHarmful);
    ASSERT_EQ(book.IssueWaiting(kStart).size(), 1u);
    ASSERT_THAT(book.RemoveWorker(worker), IsEmpty());
  }
  book.AddWorker(worker, 1, "the last one", kHarmful);
  ASSERT_EQ(book.IssueWaiting(kStart).size(), 1u);
  book.AddWorker(100, 1, "another's", kHolder);
  EXPECT_THAT(book.RemoveWorker(worker), IsEmpty());
  EXPECT_THAT(TicketsOf(100, book.IssueWaiting(kStart)), ElementsAre(1));
  // it dies of it, too
  EXPECT_THAT(book.RemoveWorker(100), ElementsAre(1));
}

TEST(TicketBook, GivesAHolderOfWhomNothingHasComeFewTickets) {
  TicketBook book = WithTickets(200);
  book.AddWorker(1, 4096, "a", kHarmful);
  book.AddWorker(2, 4096, "b", kHarmful);
  EXPECT_EQ(book.IssueWaiting(kStart).size(), size_t{TicketBook::kMostUnproven});
  book.AddWorker(3, 20, "c", kHolder);
  const auto first = TicketsOf(3, book.IssueWaiting(kStart));
  ASSERT_EQ(first.size(), size_t{TicketBook::kMostUnproven});
  EXPECT_TRUE(book.Return(3, first[0]));
  EXPECT_EQ(TicketsOf(3, book.IssueWaiting(kStart)).size(), 2 * 20 - first.size() + 1);
}

TEST(TicketBook, GivesWhoeverKeepsATicketNoOther) {
  TicketBook book = WithTickets(1);
  book.AddWorker(1, 4, "a", kHarmful);
  ASSERT_THAT(TicketsOf(1, book.IssueWaiting(kStart)), ElementsAre(1));
  book.Reissue(kStart + absl::Seconds(1));
  book.AddWorker(2, 4, "b", kHarmful);
  book.AddWorker(3, 1, "c", kHolder);
  book.Add(2, true);
  const auto issues = book.IssueWaiting(kStart);
  EXPECT_THAT(TicketsOf(1, issues), IsEmpty());
  EXPECT_THAT(TicketsOf(3, issues), ::testing::Contains(1)) << "not to the same holder again";
}

}  // namespace
}  // namespace backflip::policy_learner
