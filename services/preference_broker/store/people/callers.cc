#include "services/preference_broker/store/people/callers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"

namespace backflip::preference_broker {
namespace {

absl::Status FileError(absl::string_view what, const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot ", std::string(what), " '", path, "': ", std::strerror(errno)));
}

// The token in `path`; empty: there is no file.
absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    if (errno == ENOENT) return "";
    return FileError("read", path);
  }
  std::stringstream text;
  text << file.rdbuf();
  const std::string token(absl::StripAsciiWhitespace(text.str()));
  if (token.size() >= 32) return token;
  return absl::FailedPreconditionError(absl::StrCat(
      "the token in '", path, "' is shorter than 32 characters: remove the file to get a new one"));
}

// Makes a token in `path`, or finds the one that another process has made there meanwhile.
absl::StatusOr<std::string> MakeToken(const std::string& directory, const std::string& path) {
  const std::string token = base::RandomHex128() + base::RandomHex128();
  // written aside and then renamed: a file with the name is always whole
  const std::string draft = absl::StrCat(path, ".", base::RandomHex128());
  const int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("create", draft);
  const std::string line = token + "\n";
  bool ok = write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  struct stat owner;
  if (ok && geteuid() == 0 && stat(directory.c_str(), &owner) == 0) {
    ok = fchown(fd, owner.st_uid, owner.st_gid) == 0;
  }
  ok = fsync(fd) == 0 && ok;
  ok = close(fd) == 0 && ok;
  // link does not replace a token that another process made at the same time
  ok = ok && (link(draft.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const absl::Status failure = ok ? absl::OkStatus() : FileError("write", path);
  unlink(draft.c_str());
  RETURN_IF_ERROR(failure);
  return ReadToken(path);
}

// Whether the token is known, and was revoked or has expired.
absl::StatusOr<bool> IsOver(Connection& connection, absl::string_view token) {
  const std::string hash = SecretHash(token);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<bool> {
    return !t.Exec(
                 "SELECT FROM tokens WHERE sha256 = $1 AND (revoked_at IS NOT NULL OR expires_at "
                 "<= now())",
                 Bytes{hash})
                .empty();
  });
}

}  // namespace

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kLabeler:
      return "labeler";
    case Role::kTeacher:
      return "teacher";
    case Role::kReviewer:
      return "reviewer";
    case Role::kOperator:
      return "operator";
    case Role::kLearner:
      return "learner";
    case Role::kTrainer:
      return "trainer";
    case Role::kWorker:
      return "worker";
  }
  return "";
}

std::vector<int64_t> Ids(const pqxx::field& field) {
  std::vector<int64_t> ids;
  for (const char* at = field.c_str(); *at != '\0';) {
    if (*at == '{' || *at == '}' || *at == ',') {
      ++at;
      continue;
    }
    char* end = nullptr;
    ids.push_back(std::strtoll(at, &end, 10));
    if (end == at) break;
    at = end;
  }
  return ids;
}

absl::Status CheckRunAllowed(const Caller& caller, int64_t run_id) {
  if (caller.run_ids.empty() ||
      std::find(caller.run_ids.begin(), caller.run_ids.end(), run_id) != caller.run_ids.end()) {
    return absl::OkStatus();
  }
  if (run_id == 0) {
    return absl::PermissionDeniedError(
        "your invite is not for all runs: name one that it is for by run_id");
  }
  return absl::PermissionDeniedError(
      absl::StrCat("your invite is not for run ", run_id, ": ask who invited you for one that is"));
}

absl::Status CheckOfAllRuns(const Caller& caller) {
  if (caller.run_ids.empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "this concerns all runs, and your invite is for some: ask an operator of all");
}

void EndLeases(Transaction& t, int64_t caller_id) {
  // questions before leases, as everywhere; the labeler did not let these run out of time
  t.Exec(R"sql(
      SELECT FROM questions WHERE id IN
        (SELECT question_id FROM leases WHERE caller_id = $1 AND state = 'LIVE')
      ORDER BY id FOR NO KEY UPDATE)sql",
         caller_id);
  t.Exec(R"sql(
      WITH held AS (SELECT id, question_id, holds_slot FROM leases
          WHERE caller_id = $1 AND state = 'LIVE' ORDER BY id FOR NO KEY UPDATE),
        ended AS (UPDATE leases l SET state = 'EXPIRED', holds_slot = false,
            expires_at = '-infinity' FROM held WHERE l.id = held.id)
      UPDATE questions q SET open_slots = q.open_slots + 1 FROM held
      WHERE held.question_id = q.id AND held.holds_slot)sql",
         caller_id);
  t.Signal(kQuestionsTopic);
}

std::string RandomSecret() {
  return absl::WebSafeBase64Escape(base::FromHex(base::RandomHex128() + base::RandomHex128()));
}

std::string SecretHash(absl::string_view secret) { return base::Sha256(secret); }

absl::StatusOr<Caller> CallerOfToken(Connection& connection, absl::string_view token) {
  const std::string hash = SecretHash(token);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<Caller> {
    const pqxx::result rows = t.Exec(
        "SELECT c.id, c.role, c.run_ids, "
        "  coalesce(k.last_used_at < now() - interval '1 minute', true) AS unseen, k.id "
        "FROM tokens k JOIN accepted_tokens a ON a.id = k.id JOIN callers c ON c.id = k.caller_id "
        "WHERE k.sha256 = $1",
        Bytes{hash});
    if (rows.empty()) {
      return absl::UnauthenticatedError(
          "the token is unknown, revoked or expired; send `authorization: Bearer TOKEN` with one "
          "that an invite gave, or that `preference-broker migrate --tokens DIR` made");
    }
    Caller caller;
    caller.id = Int(rows[0][0]);
    for (const Role role : kAllRoles) {
      if (Text(rows[0][1]) == RoleName(role)) caller.role = role;
    }
    caller.run_ids = Ids(rows[0][2]);
    caller.token_id = Int(rows[0][4]);
    // a busy row's lock is not waited for: whoever holds it writes the same
    if (Bool(rows[0][3])) {
      t.Exec(
          "UPDATE tokens SET last_used_at = now() WHERE sha256 = "
          "(SELECT sha256 FROM tokens WHERE sha256 = $1 FOR NO KEY UPDATE SKIP LOCKED)",
          Bytes{hash});
    }
    return caller;
  });
}

absl::Status SignOut(Connection& connection, const Caller& caller, absl::string_view token) {
  const std::string hash = SecretHash(token);
  return connection.Transact([&](Transaction& t) -> absl::Status {
    const pqxx::result rows = t.Exec(
        "UPDATE tokens SET revoked_at = now() WHERE sha256 = $1 AND revoked_at IS NULL "
        "RETURNING id",
        Bytes{hash});
    if (!rows.empty()) Audit(t, caller.id, 0, "sign out", absl::StrCat("token ", Int(rows[0][0])));
    return absl::OkStatus();
  });
}

absl::Status RegisterToken(Connection& connection, absl::string_view name, Role role,
                           absl::string_view token, const std::string& origin) {
  const std::string hash = SecretHash(token);
  return connection.Transact([&](Transaction& t) -> absl::Status {
    t.Exec("INSERT INTO callers (name, role) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name,
           RoleName(role));
    const pqxx::result made = t.Exec(
        "INSERT INTO tokens (sha256, caller_id, origin) "
        "SELECT $1, id, $3 FROM callers WHERE name = $2 "
        "ON CONFLICT (sha256) DO NOTHING RETURNING id, caller_id",
        Bytes{hash}, name, origin);
    // of a token from before origins were kept
    t.Exec("UPDATE tokens SET origin = $2 WHERE sha256 = $1 AND origin = ''", Bytes{hash}, origin);
    if (!made.empty() && !origin.empty()) {
      t.Exec(
          "UPDATE tokens SET revoked_at = now() "
          "WHERE caller_id = $1 AND origin = $2 AND id <> $3 AND revoked_at IS NULL",
          Int(made[0][1]), origin, Int(made[0][0]));
      t.Exec("INSERT INTO audit (action, detail) VALUES ('make token', $1)",
             absl::StrCat("token ", Int(made[0][0]), " of ", name, ", ", origin));
    }
    const pqxx::result rows = t.Exec(
        "SELECT k.revoked_at IS NULL AND c.name = $2 AND c.role = $3 "
        "FROM tokens k JOIN callers c ON c.id = k.caller_id WHERE k.sha256 = $1",
        Bytes{hash}, name, RoleName(role));
    if (rows.empty() || !Bool(rows[0][0])) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the token of '", std::string(name),
          "' was revoked or belongs to somebody else: remove its file to get a new one"));
    }
    return absl::OkStatus();
  });
}

absl::Status MakeTokenFiles(Connection& connection, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make the folder '", directory, "': ", error.message()));
  }
  for (const Role role : kAllRoles) {
    const std::string name(RoleName(role));
    const std::string path = absl::StrCat(directory, "/", name, ".token");
    ASSIGN_OR_RETURN(std::string token, ReadToken(path));
    if (!token.empty()) {
      ASSIGN_OR_RETURN(const bool over, IsOver(connection, token));
      if (over) {
        if (unlink(path.c_str()) != 0 && errno != ENOENT) return FileError("replace", path);
        token.clear();
      }
    }
    if (token.empty()) {
      ASSIGN_OR_RETURN(token, MakeToken(directory, path));
    }
    RETURN_IF_ERROR(RegisterToken(connection, name, role, token, absl::StrCat("file ", path)));
  }
  return absl::OkStatus();
}

}  // namespace backflip::preference_broker
