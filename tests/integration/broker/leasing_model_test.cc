// Leasing against a model of it: random interleavings of everything that labelers,
// operators and time can do to a question.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/preference_broker/store/labeling/leases.h"
#include "services/preference_broker/store/labeling/submit.h"
#include "services/preference_broker/store/people/people.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

constexpr int kCallers = 5;

class LeasingModel : public ::testing::Test {
 protected:
  void Open(int questions, int overlap) {
    const v1::Run run = broker_.CreateRun("labels: 1000");
    (void)broker_.Claim(Role::kLearner);
    const v1::ClaimResponse trainer = broker_.Claim(Role::kTrainer);
    const auto opened = broker_.Open(run.id(), trainer.epoch(), 0,
                                     broker_.Upload(run.id(), 0, 2 * questions), overlap);
    ASSERT_TRUE(opened.ok()) << opened.status();
    for (const v1::OpenedQuestion& question : opened->questions())
      questions_.push_back(question.question_id());
    for (int i = 0; i < kCallers; ++i) {
      const std::string name = absl::StrCat("labeler", i);
      broker_.Token(Role::kLabeler, name);
      callers_.emplace_back();
      callers_.back().id = std::stoll(
          Query(broker_.database(), "SELECT id FROM callers WHERE name = '" + name + "'"));
    }
    broker_.Token(Role::kOperator);
    operator_.role = Role::kOperator;
    operator_.id =
        std::stoll(Query(broker_.database(), "SELECT id FROM callers WHERE name = 'operator'"));
  }

  v1::RetractLabelsRequest Retract(int caller) {
    v1::RetractLabelsRequest request;
    request.set_request_id(NewId());
    request.set_labeler_id(callers_[caller].id);
    return request;
  }
  static preference_broker::LeaseTerms Terms() {
    preference_broker::LeaseTerms terms;
    terms.lease_ms = 600'000;
    return terms;
  }
  // Slots that do not add up, and questions with more answers than wanted.
  std::string Broken() {
    return Query(broker_.database(),
                 "SELECT count(*) FROM questions q WHERE q.overlap <> q.open_slots + (SELECT "
                 "count(*) FROM leases l "
                 "WHERE l.question_id = q.id AND l.holds_slot) OR q.overlap < (SELECT count(*) "
                 "FROM labels b WHERE "
                 "b.question_id = q.id AND NOT b.surplus AND NOT b.retraction AND NOT EXISTS "
                 "(SELECT FROM labels n "
                 "WHERE n.supersedes = b.id))");
  }
  // The session of a connection ends under its hands.
  static void Crash(preference_broker::Connection& connection) {
    (void)connection.Transact([](preference_broker::Transaction& t) -> absl::Status {
      t.Exec("SELECT pg_terminate_backend(pg_backend_pid())");
      return absl::OkStatus();
    });
  }
  // As a client that calls again, with the same keys, until it hears an answer.
  template <typename Call>
  static auto Insist(Call call) {
    auto result = call();
    for (int i = 0; i < 100 && absl::IsUnavailable(result.status()); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      result = call();
    }
    return result;
  }

  TestBroker broker_;
  preference_broker::RunCache runs_;
  std::vector<int64_t> questions_;
  std::vector<preference_broker::Caller> callers_;
  preference_broker::Caller operator_;
};

struct ModelLease {
  std::string id;
  int caller = 0;
  int question = 0;
  enum { kLive, kExpired, kAnswered } state = kLive;
  bool holds = true;
  // What stands under it; a chain that was begun may stand for nothing.
  std::optional<v1::Choice> answer;
  bool begun = false;
  int64_t label = 0;
  // Answers and retractions.
  int entries = 0;
  // An operator took its answer back.
  bool closed = false;
  // When it ran out of time; -1: it did not.
  int lapsed = -1;
};

// An answer of a caller, or a retraction of one.
struct ModelEntry {
  int step = 0;
  int64_t label = 0;  // 0: a retraction
};

TEST_F(LeasingModel, DoesWhatTheModelSays) {
  constexpr int kQuestions = 7, kOverlap = 2, kSteps = 700;
  Open(kQuestions, kOverlap);
  preference_broker::Connection connection(broker_.database(), "model", nullptr);
  std::vector<int> open(kQuestions, kOverlap);
  std::vector<ModelLease> leases;
  std::vector<std::vector<ModelEntry>> entries(kCallers);
  std::mt19937 random(7);
  const auto pick = [&](int n) { return static_cast<int>(random() % n); };
  const auto of = [&](int caller, int question, const ModelLease* but) -> ModelLease* {
    for (ModelLease& lease : leases) {
      if (&lease != but && lease.caller == caller && lease.question == question &&
          lease.state != ModelLease::kExpired) {
        return &lease;
      }
    }
    return nullptr;
  };
  // Whether a caller's answers to a question are taken.
  const auto takes = [&](int caller, int question) {
    int sum = 0;
    for (const ModelLease& lease : leases) {
      if (lease.caller != caller || lease.question != question) continue;
      if (lease.closed) return false;
      sum += lease.entries;
    }
    return sum < 12;
  };
  // How many leases a caller may hold.
  const auto may_hold = [&](int caller) {
    int lapse = -1;
    std::set<int64_t> standing;
    for (const ModelLease& lease : leases) {
      if (lease.caller != caller) continue;
      if (lease.state == ModelLease::kExpired && !lease.closed)
        lapse = std::max(lapse, lease.lapsed);
      if (lease.answer.has_value()) standing.insert(lease.label);
    }
    if (lapse < 0) return 8;
    int answered = 0;
    const std::vector<ModelEntry>& all = entries[caller];
    for (size_t i = all.size() - std::min<size_t>(all.size(), 16); i < all.size(); ++i)
      answered += all[i].step > lapse && standing.count(all[i].label) > 0;
    return 2 + answered;
  };
  // The question that a caller is given; -1: none. What they let expire comes last.
  const auto next = [&](int caller) {
    int held = 0;
    std::set<int> leased;
    for (const ModelLease& lease : leases) {
      if (lease.caller != caller) continue;
      held += lease.state == ModelLease::kLive;
      leased.insert(lease.question);
    }
    if (held >= may_hold(caller)) return -1;
    for (const bool again : {false, true}) {
      for (int q = 0; q < kQuestions; ++q) {
        if (open[q] > 0 && (again ? of(caller, q, nullptr) == nullptr && takes(caller, q)
                                  : leased.count(q) == 0)) {
          return q;
        }
      }
    }
    return -1;
  };
  for (int step = 0; step < kSteps; ++step) {
    SCOPED_TRACE(step);
    const int caller = pick(kCallers);
    // one's own, of any state
    std::vector<ModelLease*> own;
    for (ModelLease& lease : leases) {
      if (lease.caller == caller) own.push_back(&lease);
    }
    // the newest are the most alive
    ModelLease* lease =
        own.empty() ? nullptr : own[own.size() - 1 - pick(std::min<int>(own.size(), 8))];
    switch (pick(12)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const int expected = next(caller);
        const auto leased =
            Insist([&] { return LeaseQuestions(connection, runs_, callers_[caller], Terms()); });
        ASSERT_TRUE(leased.ok()) << leased.status();
        ASSERT_EQ(leased->response.questions_size(), expected < 0 ? 0 : 1);
        if (expected < 0) break;
        --open[expected];
        leases.push_back({leased->response.questions(0).lease_id(), caller, expected});
        ASSERT_EQ(
            Query(broker_.database(), absl::StrCat("SELECT question_id FROM leases WHERE id = '",
                                                   leases.back().id, "'")),
            absl::StrCat(questions_[expected]));
        break;
      }
      case 4: {
        int live = 0;
        for (const ModelLease* one : own) live += one->state == ModelLease::kLive;
        const auto renewed = Insist([&] { return RenewLeases(connection, callers_[caller]); });
        ASSERT_TRUE(renewed.ok()) << renewed.status();
        ASSERT_EQ(*renewed, live);
        break;
      }
      case 5: {
        if (lease == nullptr || lease->state != ModelLease::kLive) break;
        Query(broker_.database(),
              absl::StrCat("UPDATE leases SET expires_at = now() WHERE id = '", lease->id, "'"));
        // the broker looks for such leases too
        while (Query(broker_.database(), absl::StrCat("SELECT state FROM leases WHERE id = '",
                                                      lease->id, "'")) == "LIVE") {
          (void)ExpireLeases(connection);
        }
        open[lease->question] += lease->holds;
        lease->state = ModelLease::kExpired;
        lease->lapsed = step;
        lease->holds = false;
        break;
      }
      case 6:
      case 7:
      case 8: {
        if (lease == nullptr) break;
        const v1::Choice choice = pick(2) == 0 ? v1::LEFT : v1::RIGHT;
        const v1::SubmitRequest request = AnswerTo(lease->id, choice);
        const auto label =
            Insist([&] { return SubmitLabel(connection, runs_, callers_[caller], request); });
        ModelLease* const other = of(caller, lease->question, lease);
        if (!takes(caller, lease->question)) {
          ASSERT_TRUE(absl::IsFailedPrecondition(label.status())) << label.status();
          break;
        }
        if (lease->answer.has_value()) {
          if (*lease->answer != choice) {
            ASSERT_TRUE(absl::IsFailedPrecondition(label.status())) << label.status();
          } else {
            ASSERT_TRUE(label.ok()) << label.status();
            ASSERT_EQ(label->label_id, lease->label);
          }
          break;
        }
        if (lease->state == ModelLease::kExpired && other != nullptr &&
            other->state == ModelLease::kAnswered) {
          ASSERT_TRUE(absl::IsFailedPrecondition(label.status())) << label.status();
          break;
        }
        if (lease->state == ModelLease::kExpired) {
          if (other != nullptr) {
            lease->holds = other->holds;
            other->holds = false;
            other->state = ModelLease::kExpired;
            other->lapsed = -1;
          } else if (open[lease->question] > 0) {
            --open[lease->question];
            lease->holds = true;
          }
        }
        ASSERT_TRUE(label.ok()) << label.status();
        ASSERT_EQ(label->surplus, !lease->holds);
        lease->state = ModelLease::kAnswered;
        lease->answer = choice;
        lease->begun = true;
        lease->label = label->label_id;
        ++lease->entries;
        entries[caller].push_back({step, label->label_id});
        break;
      }
      case 9: {
        if (lease == nullptr) break;
        const v1::UndoRequest request = UndoOf(lease->id);
        const auto undone =
            Insist([&] { return UndoLabel(connection, callers_[caller], request); });
        const bool taken = takes(caller, lease->question);
        ASSERT_EQ(undone.ok(), lease->begun && taken) << undone.status();
        if (!lease->answer.has_value() || !taken) break;
        ++lease->entries;
        entries[caller].push_back({step});
        lease->answer.reset();
        lease->state = ModelLease::kLive;
        break;
      }
      case 10: {
        if (pick(8) > 0) break;
        int64_t standing = 0;
        for (ModelLease* one : own) {
          if (!one->answer.has_value()) continue;
          ++standing;
          open[one->question] += one->holds;
          one->holds = false;
          one->answer.reset();
          one->closed = true;
          entries[caller].push_back({step});
          one->state = ModelLease::kExpired;
        }
        const v1::RetractLabelsRequest request = Retract(caller);
        const auto retracted =
            Insist([&] { return RetractLabels(connection, operator_, request); });
        ASSERT_TRUE(retracted.ok()) << retracted.status();
        ASSERT_EQ(retracted->response.labels(), standing);
        break;
      }
      case 11:
        Crash(connection);
        break;
    }
    std::string slots;
    for (const int n : open) absl::StrAppend(&slots, n, " ");
    ASSERT_EQ(Query(broker_.database(),
                    "SELECT string_agg(open_slots || ' ', '' ORDER BY ordinal) FROM questions"),
              slots);
    ASSERT_EQ(Broken(), "0");
  }
}

TEST_F(LeasingModel, AddsUpWhateverHappensAtOnce) {
  constexpr int kQuestions = 12, kOverlap = 3;
  Open(kQuestions, kOverlap);
  std::vector<std::thread> threads;
  std::map<std::string, int64_t> acknowledged;
  std::mutex mutex;
  for (int caller = 0; caller < kCallers; ++caller) {
    threads.emplace_back([&, caller] {
      preference_broker::Connection connection(broker_.database(), "model", nullptr);
      std::mt19937 random(caller);
      std::vector<std::string> mine;
      for (int step = 0; step < 120; ++step) {
        const std::string lease =
            mine.empty() ? "" : mine[mine.size() - 1 - random() % std::min<size_t>(mine.size(), 4)];
        switch (random() % 8) {
          case 0:
          case 1:
          case 2: {
            const auto leased = Insist(
                [&] { return LeaseQuestions(connection, runs_, callers_[caller], Terms()); });
            // who holds as many as a labeler may gets no more
            if (absl::IsFailedPrecondition(leased.status())) break;
            ASSERT_TRUE(leased.ok()) << leased.status();
            for (const v1::Question& question : leased->response.questions())
              mine.push_back(question.lease_id());
            break;
          }
          case 3:
          case 4: {
            if (lease.empty()) break;
            const v1::SubmitRequest request =
                AnswerTo(lease, random() % 2 == 0 ? v1::LEFT : v1::RIGHT);
            const auto label =
                Insist([&] { return SubmitLabel(connection, runs_, callers_[caller], request); });
            ASSERT_TRUE(label.ok() || absl::IsFailedPrecondition(label.status())) << label.status();
            if (!label.ok() || !label->fresh) break;
            std::lock_guard lock(mutex);
            acknowledged[request.idempotency_key()] = label->label_id;
            break;
          }
          case 5:
            if (!lease.empty()) {
              const v1::UndoRequest request = UndoOf(lease);
              const auto undone =
                  Insist([&] { return UndoLabel(connection, callers_[caller], request); });
              ASSERT_TRUE(undone.ok() || absl::IsFailedPrecondition(undone.status()))
                  << undone.status();
            }
            break;
          case 6:
            if (!lease.empty() && random() % 2 == 0) {
              Query(
                  broker_.database(),
                  absl::StrCat("UPDATE leases SET expires_at = now() - interval '1 s' WHERE id = '",
                               lease, "'"));
              (void)ExpireLeases(connection);
            } else if (random() % 4 == 0) {
              const v1::RetractLabelsRequest request = Retract(caller);
              const auto retracted =
                  Insist([&] { return RetractLabels(connection, operator_, request); });
              ASSERT_TRUE(retracted.ok()) << retracted.status();
            }
            break;
          case 7:
            if (random() % 3 == 0) Crash(connection);
            break;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Broken(), "0");
  for (const auto& [key, label] : acknowledged) {
    ASSERT_EQ(Query(broker_.database(),
                    absl::StrCat("SELECT id FROM labels WHERE idempotency_key = '", key, "'")),
              absl::StrCat(label));
  }
  // and everybody answers all that they may, with some of whom nothing was taken back: each
  // question gets what it wants
  for (int i = 0; i < kOverlap; ++i) {
    const std::string name = absl::StrCat("another", i);
    broker_.Token(Role::kLabeler, name);
    callers_.emplace_back();
    callers_.back().id =
        std::stoll(Query(broker_.database(), "SELECT id FROM callers WHERE name = '" + name + "'"));
  }
  preference_broker::Connection connection(broker_.database(), "model", nullptr);
  Query(broker_.database(),
        "UPDATE leases SET expires_at = now() - interval '1 s' WHERE state = 'LIVE'");
  while (Query(broker_.database(), "SELECT count(*) FROM leases WHERE state = 'LIVE'") != "0") {
    (void)ExpireLeases(connection);
  }
  for (const preference_broker::Caller& caller : callers_) {
    while (true) {
      const auto leased = LeaseQuestions(connection, runs_, caller, Terms());
      ASSERT_TRUE(leased.ok()) << leased.status();
      if (leased->response.questions_size() == 0) break;
      ASSERT_TRUE(SubmitLabel(connection, runs_, caller,
                              AnswerTo(leased->response.questions(0).lease_id(), v1::TIE))
                      .ok());
    }
  }
  EXPECT_EQ(Query(broker_.database(),
                  "SELECT count(*) FROM questions q WHERE q.overlap <> (SELECT count(*) FROM "
                  "labels b WHERE "
                  "b.question_id = q.id AND NOT b.surplus AND NOT b.retraction AND NOT EXISTS "
                  "(SELECT FROM labels n "
                  "WHERE n.supersedes = b.id))"),
            "0");
  EXPECT_EQ(Broken(), "0");
}

}  // namespace
}  // namespace backflip::testing
