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

namespace backflip::preference_broker {
namespace {

absl::Status FileError(absl::string_view what, const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot ", std::string(what), " '", path, "': ", std::strerror(errno)));
}

// The token in `path`, made there when the file is missing.
absl::StatusOr<std::string> ReadOrMakeToken(const std::string& directory, const std::string& path) {
  if (std::ifstream file(path); file) {
    std::stringstream text;
    text << file.rdbuf();
    const std::string token(absl::StripAsciiWhitespace(text.str()));
    if (token.size() < 32) {
      return absl::FailedPreconditionError(
          absl::StrCat("the token in '", path,
                       "' is shorter than 32 characters: remove the file to get a new one"));
    }
    return token;
  }
  if (errno != ENOENT) return FileError("read", path);
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
  std::ifstream file(path);
  std::string made;
  if (!(file >> made)) return FileError("read", path);
  return made;
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

std::string RandomSecret() {
  return absl::WebSafeBase64Escape(base::FromHex(base::RandomHex128() + base::RandomHex128()));
}

std::string SecretHash(absl::string_view secret) { return base::Sha256(secret); }

absl::StatusOr<Caller> CallerOfToken(Connection& connection, absl::string_view token) {
  const std::string hash = SecretHash(token);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<Caller> {
    const pqxx::result rows = t.Exec(
        "SELECT c.id, c.role, c.run_ids FROM tokens k JOIN callers c ON c.id = k.caller_id "
        "WHERE k.sha256 = $1 AND k.revoked_at IS NULL AND c.state <> 'REVOKED'",
        Bytes{hash});
    if (rows.empty()) {
      return absl::UnauthenticatedError(
          "the token is unknown or revoked; send `authorization: Bearer TOKEN` with one that an "
          "invite gave, "
          "or that `preference-broker migrate --tokens DIR` made");
    }
    Caller caller;
    caller.id = Int(rows[0][0]);
    for (const Role role : kAllRoles) {
      if (Text(rows[0][1]) == RoleName(role)) caller.role = role;
    }
    caller.run_ids = Ids(rows[0][2]);
    return caller;
  });
}

absl::Status RevokeToken(Connection& connection, absl::string_view token) {
  const std::string hash = SecretHash(token);
  return connection.Transact([&](Transaction& t) -> absl::Status {
    t.Exec("UPDATE tokens SET revoked_at = now() WHERE sha256 = $1 AND revoked_at IS NULL",
           Bytes{hash});
    return absl::OkStatus();
  });
}

absl::Status RegisterToken(Connection& connection, absl::string_view name, Role role,
                           absl::string_view token) {
  const std::string hash = SecretHash(token);
  return connection.Transact([&](Transaction& t) -> absl::Status {
    t.Exec("INSERT INTO callers (name, role) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name,
           RoleName(role));
    t.Exec(
        "INSERT INTO tokens (sha256, caller_id) SELECT $1, id FROM callers WHERE name = $2 "
        "ON CONFLICT (sha256) DO NOTHING",
        Bytes{hash}, name);
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
    ASSIGN_OR_RETURN(const std::string token,
                     ReadOrMakeToken(directory, absl::StrCat(directory, "/", name, ".token")));
    RETURN_IF_ERROR(RegisterToken(connection, name, role, token));
  }
  return absl::OkStatus();
}

}  // namespace backflip::preference_broker
