// backflip token list, create, rotate, revoke.
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "backflip/v1/operation.grpc.pb.h"
#include "cli/command.h"
#include "cli/launcher/private_file.h"
#include "cli/output/moment.h"
#include "cli/session.h"
#include "cli/values.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

using v1::OperationService;

struct TokenFlags {
  bool all = false;
  v1::Role role = v1::ROLE_WORKER;
  std::string name, expires, out;
};
TokenFlags& flags = *new TokenFlags;

std::string RoleText(v1::Role role) {
  return absl::AsciiStrToLower(absl::StripPrefix(v1::Role_Name(role), "ROLE_"));
}

absl::StatusOr<int64_t> ParseToken(const std::string& text) {
  return ParseId(text, "token; `backflip token list` lists them");
}

absl::Status ListTokens(const Call& call) {
  v1::ListTokensRequest request;
  request.set_all(flags.all);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::ListTokensResponse response,
      session.broker->CallPages<OperationService>(&OperationService::Stub::ListTokens, request));
  absl::PrintF("%6s %-24s %-9s %-16s %-16s %-16s %s\n", "token", "whose", "role", "made",
               "last used", "until", "from");
  for (const v1::Token& token : response.tokens()) {
    absl::PrintF(
        "%6d %-24s %-9s %-16s %-16s %-16s %s\n", token.id(), token.name(), RoleText(token.role()),
        MomentText(token.created_ms()), MomentText(token.last_used_ms()),
        token.revoked_ms() != 0 ? "revoked" : MomentText(token.expires_ms()), token.origin());
  }
  return absl::OkStatus();
}

// Prints a new token, or writes it to --out, which nobody else can read and which takes the place
// of a file that is there.
absl::Status HandOut(const v1::CreateTokenResponse& made) {
  if (flags.out.empty()) {
    absl::PrintF("%s\n", made.secret());
    return absl::OkStatus();
  }
  if (const absl::Status written = WritePrivateFile(flags.out, absl::StrCat(made.secret(), "\n"));
      !written.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("token ", made.token().id(),
                                                      " is made, but lost (", written.message(),
                                                      "): rotate it with another --out"));
  }
  absl::PrintF("token %d of %s is in %s\n", made.token().id(), made.token().name(), flags.out);
  return absl::OkStatus();
}

absl::Status CreateToken(const Call& call) {
  v1::CreateTokenRequest request;
  request.set_request_id(base::RandomHex128());
  request.set_role(flags.role);
  request.set_name(flags.name);
  if (!flags.expires.empty()) {
    ASSIGN_OR_RETURN(const absl::Time expires,
                     ParseMoment("expires", flags.expires, absl::Now(), /*future=*/true));
    request.set_expires_ms(absl::ToUnixMillis(expires));
  }
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::CreateTokenResponse made,
      session.broker->Call<OperationService>(&OperationService::Stub::CreateToken, request));
  return HandOut(made);
}

absl::Status RotateToken(const Call& call) {
  v1::RotateTokenRequest request;
  request.set_request_id(base::RandomHex128());
  ASSIGN_OR_RETURN(const int64_t id, ParseToken(call.Word(0)));
  request.set_token_id(id);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::CreateTokenResponse made,
      session.broker->Call<OperationService>(&OperationService::Stub::RotateToken, request));
  return HandOut(made);
}

absl::Status RevokeToken(const Call& call) {
  v1::RevokeTokenRequest request;
  ASSIGN_OR_RETURN(const int64_t id, ParseToken(call.Word(0)));
  request.set_token_id(id);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return session.broker->Call<OperationService>(&OperationService::Stub::RevokeToken, request)
      .status();
}

const Registered kRegistered{
    {Section::kSetUp,
     "token list",
     "the tokens that are accepted, with their last use",
     ListTokens,
     {{"all", &flags.all, "with those that were revoked or have expired"}}},
    {Section::kSetUp,
     "token create",
     "a token of its own for a host or a program",
     CreateToken,
     {Flag("name NAME", &flags.name, "whose it is").Required(),
      {"role ROLE",
       &flags.role,
       {{"worker", v1::ROLE_WORKER},
        {"learner", v1::ROLE_LEARNER},
        {"trainer", v1::ROLE_TRAINER},
        {"teacher", v1::ROLE_TEACHER},
        {"labeler", v1::ROLE_LABELER},
        {"reviewer", v1::ROLE_REVIEWER},
        {"operator", v1::ROLE_OPERATOR}},
       "worker, learner, trainer, teacher, labeler, reviewer or operator"},
      {"expires TIME", &flags.expires,
       "when it ends, such as 90d or 2027-06-01. Default: when it is revoked"},
      {"out FILE", &flags.out, "file to write it to, for its owner alone"}},
     "Prints the token, which is told this once."},
    {Section::kSetUp,
     "token rotate TOKEN",
     "a new token in place of one, which is refused from now on",
     RotateToken,
     {{"out FILE", &flags.out, "file to write it to, for its owner alone"}}},
    {Section::kSetUp, "token revoke TOKEN", "refuse a token from now on", RevokeToken},
};

}  // namespace
}  // namespace backflip::cli
