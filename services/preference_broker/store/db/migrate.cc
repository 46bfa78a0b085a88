#include "services/preference_broker/store/db/migrate.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"

namespace backflip::preference_broker {
namespace {

const base::VersionLine version_line("schema", absl::StrCat(AllMigrations().size()));

// "backflip" in ASCII: a lock that no other program takes by chance.
constexpr int64_t kMigrationLock = 0x6261636b666c6970;

// What the roles backflip_app (the broker's) and backflip_read may do, in databases that have them.
// For tables of all migrations, hence each time. The functions that delete labels run as their
// owner.
constexpr char kGrants[] = R"sql(
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'backflip_app') THEN
    REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO backflip_app;
    REVOKE UPDATE, DELETE ON labels, audit FROM backflip_app;
    GRANT UPDATE (position) ON labels TO backflip_app;
    REVOKE INSERT, UPDATE, DELETE ON schema_migrations FROM backflip_app;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO backflip_app;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO backflip_app;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'backflip_read') THEN
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO backflip_read;
    REVOKE SELECT ON tokens, invites FROM backflip_read;
  END IF;
END $$)sql";

// The eighth as it landed first, with the same effect: only a superuser could apply it.
constexpr absl::string_view kFirstEighth =
    "364019cff68f926ae72388052439a5fb8c0902a3eea1fd017ee2eb45691456b9";

// How many migrations the database has; checks that they are this program's.
absl::StatusOr<int> Applied(Transaction& t) {
  const pqxx::result rows =
      t.Exec("SELECT version, encode(sha256, 'hex') FROM schema_migrations ORDER BY version");
  for (const auto& row : rows) {
    const int64_t version = Int(row[0]);
    const auto& migrations = AllMigrations();
    if (version > static_cast<int64_t>(migrations.size())) {
      return absl::FailedPreconditionError(
          absl::StrCat("the database has migration ", version,
                       ", which this program does not know: "
                       "it was made by a newer one; use that, or another database"));
    }
    const Migration& known = migrations[version - 1];
    if (Text(row[1]) != base::Sha256Hex(known.sql) &&
        !(version == 8 && Text(row[1]) == kFirstEighth)) {
      return absl::FailedPreconditionError(
          absl::StrCat("migration ", version, " (", std::string(known.name),
                       ") was applied to this database in another form; use another database"));
    }
  }
  return rows.size();
}

}  // namespace

absl::StatusOr<int> Migrate(Connection& connection) {
  int applied = 0;
  for (const Migration& migration : AllMigrations()) {
    ASSIGN_OR_RETURN(
        const bool did, connection.Transact([&](Transaction& t) -> absl::StatusOr<bool> {
          t.Exec("SELECT pg_advisory_xact_lock($1)", kMigrationLock);
          t.Exec(
              "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, "
              "name text NOT NULL, sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT "
              "now())");
          ASSIGN_OR_RETURN(const int have, Applied(t));
          if (have >= migration.version) return false;
          t.ExecScript(std::string(migration.sql));
          const std::string hash = base::Sha256(migration.sql);
          t.Exec("INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)",
                 migration.version, migration.name, Bytes{hash});
          return true;
        }));
    if (did) {
      ++applied;
      base::LogInfo("migration applied",
                    {{"version", migration.version}, {"name", migration.name}});
    }
  }
  RETURN_IF_ERROR(connection.Transact([](Transaction& t) -> absl::Status {
    t.Exec("SELECT pg_advisory_xact_lock($1)", kMigrationLock);
    t.ExecScript(kGrants);
    return absl::OkStatus();
  }));
  return applied;
}

absl::Status CheckSchema(Connection& connection) {
  return connection.Transact([](Transaction& t) -> absl::Status {
    int have = 0;
    if (Bool(t.Exec("SELECT to_regclass('schema_migrations') IS NOT NULL")[0][0])) {
      ASSIGN_OR_RETURN(have, Applied(t));
    }
    if (have < static_cast<int>(AllMigrations().size())) {
      return absl::FailedPreconditionError(
          absl::StrCat("the database has ", have, " of ", AllMigrations().size(),
                       " migrations: run `preference-broker migrate` first"));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> DatabaseMadeAt(Connection& connection) {
  return connection.Transact([](Transaction& t) -> absl::StatusOr<std::string> {
    return Text(
        t.Exec("SELECT (extract(epoch FROM min(applied_at)) * 1000000)::bigint::text "
               "FROM schema_migrations")[0][0]);
  });
}

}  // namespace backflip::preference_broker
