// A database of any version that has landed becomes one of this version, with all that is in it.
#include <gtest/gtest.h>

#include <pqxx/pqxx>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "backflip/v1/run.pb.h"
#include "common/base/hash.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/db/migrate.h"
#include "services/preference_broker/store/people/callers.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::AllMigrations;
using preference_broker::Migration;
using preference_broker::Role;

std::string Hex(const std::string& bytes) {
  return absl::StrCat("'\\x", absl::BytesToHexString(bytes), "'");
}

// A database as that version's program left it.
std::string OldDatabase(int version) {
  const std::string url = EmptyDatabase();
  pqxx::connection connection(url);
  pqxx::work work(connection);
  work.exec(
      "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL, "
      "sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())");
  for (const Migration& migration : AllMigrations()) {
    if (migration.version > version) break;
    work.exec(std::string(migration.sql));
    work.exec(absl::StrCat("INSERT INTO schema_migrations VALUES (", migration.version, ", '",
                           std::string(migration.name), "', ", Hex(base::Sha256(migration.sql)),
                           ")"));
  }
  work.commit();
  return url;
}

// A run in its middle with 20 questions, 12 of them answered, in columns that all versions have.
void Fill(const std::string& url) {
  const std::string bundle = "a bundle";
  const std::string hash = Hex(base::Sha256(bundle));
  const auto spec = Parse<v1::RunSpec>("labels: 100 lockstep: false");
  const v1::TaskInfo task = TestTask(base::Sha256Hex(bundle), true);
  Query(url,
        absl::StrCat(
            "INSERT INTO callers (name, role) VALUES ('operator', 'operator'), ('labeler', "
            "'labeler'), "
            "('trainer', 'trainer');"
            "INSERT INTO tokens (sha256, caller_id) SELECT sha256(('an old token for ' || "
            "name)::bytea), id FROM callers;"
            "INSERT INTO bundles (sha256, size) VALUES (",
            hash,
            ", 8);"
            "INSERT INTO bundle_chunks VALUES (",
            hash,
            ", 0, 'a bundle');"
            "INSERT INTO runs (state, reward, spec, task, has_true_reward, bundle, labels, "
            "questions, "
            "  iterations, steps) VALUES ('RUNNING', 'PREFERENCES', ",
            Hex(spec.SerializeAsString()), ", ", Hex(task.SerializeAsString()), ", true, ", hash,
            ", 12, 20, 3, 2400);"
            "INSERT INTO claims (run_id, role, epoch, claimant, expires_at) "
            "  VALUES (1, 'trainer', 7, 'old', now() + interval '1 hour');"
            "INSERT INTO clips (run_id, sha256, iteration, ticket, index, behaviour, picture, "
            "physics) "
            "  SELECT 1, sha256(i::text::bytea), i / 20, i, 0, '', '', '' FROM generate_series(1, "
            "40) i;"
            "INSERT INTO rounds (run_id, round) VALUES (1, 0);"
            "INSERT INTO questions (run_id, round, ordinal, purpose, overlap, open_slots) "
            "  SELECT 1, 0, i, 'TRAIN', 1, (i >= 12)::integer FROM generate_series(0, 19) i;"
            "INSERT INTO question_clips SELECT q, p, 2 * q - 1 + p FROM generate_series(1, 20) q, "
            "  generate_series(0, 1) p;"
            "INSERT INTO leases (id, question_id, caller_id, state, turned, lease_ms, expires_at) "
            "  SELECT md5(q::text), q, 2, 'ANSWERED', q % 2 = 0, 60000, now() FROM "
            "generate_series(1, 12) q;"
            "INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key, "
            "body_sha256, "
            "  retraction, choice, surplus, counts, position) SELECT 1, q, md5(q::text), 2, "
            "md5('k' || q), "
            "  '', false, CASE q % 3 WHEN 0 THEN 'LEFT' WHEN 1 THEN 'RIGHT' ELSE 'TIE' END, false, "
            "true, q "
            "  FROM generate_series(1, 12) q;"
            "INSERT INTO run_labelers VALUES (1, 2, 1);"
            "INSERT INTO snapshots (run_id, kind, version, iteration, steps, labels, sha256, kept, "
            "data) "
            "  VALUES (1, 'POLICY', 1, 1, 800, 0, sha256('p'), true, 'p');"
            "INSERT INTO checkpoints (run_id, role, iteration, info, data) VALUES (1, 'learner', "
            "1, '', 'c');"
            "INSERT INTO metric_points (run_id, name, iteration, steps, labels, value) "
            "  VALUES (1, 'true_return', 1, 800, 0, 3.5);"
            "INSERT INTO audit (caller_id, run_id, action) VALUES (1, 1, 'create')"));
}

// What must be the same afterwards.
std::string Contents(const std::string& url) {
  return Query(
      url,
      "SELECT string_agg(t, '; ') FROM ("
      "SELECT 'labels ' || string_agg(concat_ws(' ', id, question_id, choice, position), ', ' "
      "ORDER BY id) FROM labels UNION ALL "
      "SELECT 'questions ' || count(*) || ' open ' || sum(open_slots) FROM questions UNION ALL "
      "SELECT 'clips ' || count(*) FROM clips UNION ALL "
      "SELECT 'tokens ' || string_agg(encode(sha256, 'hex'), ' ' ORDER BY sha256) FROM tokens "
      "UNION ALL SELECT 'snapshots ' || count(*) FROM snapshots UNION ALL "
      "SELECT 'checkpoints ' || count(*) FROM checkpoints UNION ALL "
      "SELECT 'metrics ' || sum(value) FROM metric_points UNION ALL "
      "SELECT 'audit ' || count(*) FROM audit) AS c (t)");
}

class Upgrade : public ::testing::TestWithParam<int> {};

TEST_P(Upgrade, KeepsAllThatIsInADatabaseWithItsTokensAndEpochs) {
  const std::string url = OldDatabase(GetParam());
  Fill(url);
  const std::string before = Contents(url);
  preference_broker::Connection connection(url, "test", nullptr);
  const auto applied = preference_broker::Migrate(connection);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(*applied, static_cast<int>(AllMigrations().size()) - GetParam());
  EXPECT_EQ(Contents(url), before);

  preference_broker::BrokerOptions options;
  options.database = url;
  TestBroker broker(options);
  // a token of before
  const Peer labeler(rpc::Client(broker.address(), "an old token for labeler"));
  const auto session = labeler.Call(labeler.labeling, &v1::LabelingService::Stub::GetSession,
                                    v1::GetSessionRequest());
  EXPECT_TRUE(session.ok()) << session.status();
  const Peer operators(rpc::Client(broker.address(), "an old token for operator"));
  v1::GetRunRequest get;
  get.set_run_id(1);
  const auto run = operators.Call(operators.runs, &v1::RunService::Stub::Get, get);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->labels(), 12);
  EXPECT_EQ(run->spec().labels(), 100);
  // the epoch of before still fences
  const auto newer = broker.Open(1, 6, 1, {std::string(64, 'a'), std::string(64, 'b')});
  EXPECT_TRUE(absl::IsAborted(newer.status())) << newer.status();
}

INSTANTIATE_TEST_SUITE_P(FromEachVersion, Upgrade,
                         ::testing::Range(1, static_cast<int>(AllMigrations().size())));

}  // namespace
}  // namespace backflip::testing
