// backflip label, dashboard.
#include <cstdio>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/launcher/pages.h"
#include "cli/output/links.h"
#include "cli/session.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

// --operator
bool& operates = *new bool(false);

absl::Status ShowLink(const Call& call, v1::InviteRole role) {
  ASSIGN_OR_RETURN(const std::string url, PagesUrlOf(call.stack));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const int64_t run_id, RunOrNewest(*session.broker, call.Word(0)));
  ASSIGN_OR_RETURN(const std::string link, RunLink(*session.broker, url, run_id, role));
  if (role == v1::INVITE_LABELER) {
    ASSIGN_OR_RETURN(const std::string code, QrCode(link));
    absl::PrintF("%s\n", code);
  }
  absl::PrintF("%s\n", link);
  std::fflush(stdout);
  if (OnThisMachineAlone(url)) {
    std::fputs("It opens on this machine alone; `train --human --share` lets others in.\n", stderr);
  }
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kPeople,
     "label [RUN]",
     "a link to the labeling page, and its QR code",
     [](const Call& call) { return ShowLink(call, v1::INVITE_LABELER); },
     {},
     "The link works once, within a day, for the run that is named or the newest. The stack must "
     "run already."},
    {Section::kPeople,
     "dashboard [RUN]",
     "a link to the dashboard",
     [](const Call& call) {
       return ShowLink(call, operates ? v1::INVITE_OPERATOR : v1::INVITE_REVIEWER);
     },
     {{"operator", &operates,
       "its owner operates all runs and invites people; it works for an hour"}},
     "The link works once, within a day, and lets its owner review the run that is named or the "
     "newest. The stack must run already."},
};

}  // namespace
}  // namespace backflip::cli
