// Who waits at a broker is woken by what happens at another one, also after
// PostgreSQL was restarted under both. Were they not, they would look again by
// themselves after a while: what comes before that tells.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/launcher/private_postgres.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/db/migrate.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

// How long a Lease and a feed go at least without a look.
constexpr absl::Duration kLeaseLooks = absl::Seconds(5);
constexpr absl::Duration kFeedLooks = absl::Seconds(1);
// For the first look of a Lease to be over.
constexpr absl::Duration kLooked = absl::Milliseconds(300);
// A busy machine may be slower than the looks.
constexpr int kAttempts = 8;

class Listen : public ::testing::Test {
 protected:
  void SetUp() override {
    auto postgres = cli::PrivatePostgres::StartTemporary();
    ASSERT_TRUE(postgres.ok()) << postgres.status();
    postgres_ = *std::move(postgres);
    {
      preference_broker::Connection connection(postgres_->url(), "test", nullptr);
      const auto migrated = preference_broker::Migrate(connection);
      ASSERT_TRUE(migrated.ok()) << migrated.status();
    }
    preference_broker::BrokerOptions options;
    options.database = postgres_->url();
    here_ = std::make_unique<TestBroker>(options);
    there_ = std::make_unique<TestBroker>(options);
    run_ = there_->CreateRun("lockstep: false labels: 1000").id();
    there_->Claim(Role::kLearner);
    epoch_ = there_->Claim(Role::kTrainer).epoch();
    clips_ = there_->Upload(run_, 0, 2 * kAttempts);
    RestartDatabase();
  }

  void RestartDatabase() {
    // both have begun to listen before
    AwaitListeners();
    ASSERT_TRUE(postgres_->Stop().ok());
    ASSERT_TRUE(postgres_->Restart().ok());
    AwaitListeners();
    // connections of before are noticed to be dead by whoever uses them
    for (TestBroker* broker : {here_.get(), there_.get()}) {
      const Peer& labeler = broker->As(Role::kLabeler);
      ASSERT_TRUE(Await([&] {
        return labeler
            .Call(labeler.labeling, &v1::LabelingService::Stub::GetSession, v1::GetSessionRequest())
            .ok();
      }));
    }
  }
  void AwaitListeners() {
    const std::string sql = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'";
    ASSERT_TRUE(Await([&] { return Query(postgres_->url(), sql) == "2"; })) << "nobody listens";
  }

  // Opens the question of an attempt, there.
  void Open(int attempt) {
    const auto opened =
        there_->Open(run_, epoch_, attempt, {clips_[2 * attempt], clips_[2 * attempt + 1]});
    ASSERT_TRUE(opened.ok()) << opened.status();
  }
  void Answer(const Peer& labeler, const std::string& lease) {
    v1::SubmitRequest submit;
    submit.set_lease_id(lease);
    submit.set_idempotency_key(NewId());
    submit.mutable_answer()->set_choice(v1::LEFT);
    const auto label = labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Submit, submit);
    ASSERT_TRUE(label.ok()) << label.status();
  }

  std::unique_ptr<cli::PrivatePostgres> postgres_;
  std::unique_ptr<TestBroker> here_, there_;
  int64_t run_ = 0, epoch_ = 0;
  std::vector<std::string> clips_;
};

TEST_F(Listen, WakesALeaseThatWaitsAfterTheDatabaseWasRestarted) {
  const Peer& labeler = here_->As(Role::kLabeler);
  bool woken = false;
  for (int attempt = 0; attempt < kAttempts && !woken; ++attempt) {
    const absl::Time begin = absl::Now();
    std::thread happens([&] {
      absl::SleepFor(kLooked);
      Open(attempt);
    });
    v1::LeaseRequest request;
    request.set_wait_ms(20'000);
    const auto lease = labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Lease, request);
    woken = absl::Now() - begin < kLeaseLooks;
    happens.join();
    ASSERT_TRUE(lease.ok()) << lease.status();
    ASSERT_EQ(lease->questions_size(), 1) << lease->DebugString();
    Answer(labeler, lease->questions(0).lease_id());
  }
  EXPECT_TRUE(woken);
}

TEST_F(Listen, WakesAFeedThatWaitsAfterTheDatabaseWasRestarted) {
  const Peer& labeler = there_->As(Role::kLabeler);
  const Peer& trainer = here_->As(Role::kTrainer);
  for (int attempt = 0; attempt < kAttempts; ++attempt) Open(attempt);
  v1::LeaseRequest lease;
  lease.set_count(kAttempts);
  const auto leased = labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Lease, lease);
  ASSERT_TRUE(leased.ok()) << leased.status();
  ASSERT_EQ(leased->questions_size(), kAttempts);
  absl::Time looked = absl::Now();
  const auto context = trainer.client.UnaryContext(kPatience);
  v1::FollowLabelsRequest follow;
  follow.set_run_id(run_);
  follow.set_from_position(1);
  const auto reader = trainer.training->FollowLabels(context.get(), follow);
  // until there is a message of this kind
  const auto read = [&](v1::LabelFeedMessage::MessageCase kind) {
    v1::LabelFeedMessage message;
    do {
      ASSERT_TRUE(reader->Read(&message)) << reader->Finish().error_message();
    } while (message.message_case() != kind);
  };
  read(v1::LabelFeedMessage::kCaughtUp);
  bool woken = false;
  for (int i = 0; i < leased->questions_size() && !woken && !HasFatalFailure(); ++i) {
    const absl::Time given = absl::Now();
    Answer(labeler, leased->questions(i).lease_id());
    read(v1::LabelFeedMessage::kEntry);
    // its last look came after `looked`, and it waits since
    woken = absl::Now() - looked < kFeedLooks;
    looked = given;
    read(v1::LabelFeedMessage::kCaughtUp);
  }
  EXPECT_TRUE(woken);
  context->TryCancel();
}

}  // namespace
}  // namespace backflip::testing
