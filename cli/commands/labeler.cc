// backflip labeler invite, invites, cap, withdraw, list, statement, pause, resume, revoke, reset,
// forget: the people who label.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "backflip/v1/people.grpc.pb.h"
#include "cli/command.h"
#include "cli/output/label_files.h"
#include "cli/output/links.h"
#include "cli/output/moment.h"
#include "cli/session.h"
#include "cli/values.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

using v1::PeopleService;

struct LabelerFlags {
  // invite
  std::string name;
  v1::InviteRole role = v1::INVITE_LABELER;
  std::string runs, expires = "14d";
  int64_t answers = 0, minutes = 0;
  bool group = false;
  int cap = 100;
  std::string consent, price, completion_code, redirect;
  // list, statement
  std::string run, since, until;
  // pause, revoke
  std::string reason;
};
LabelerFlags& flags = *new LabelerFlags;

absl::Status InviteLabeler(const Call& call) {
  v1::InviteRequest request;
  request.set_name(flags.name);
  request.set_role(flags.role);
  ASSIGN_OR_RETURN(const std::vector<int64_t> runs, ParseRuns("runs", flags.runs));
  request.mutable_run_ids()->Add(runs.begin(), runs.end());
  ASSIGN_OR_RETURN(const absl::Time expires,
                   ParseMoment("expires", flags.expires, absl::Now(), /*future=*/true));
  request.set_expires_ms(absl::ToUnixMillis(expires));
  request.set_answers_wanted(flags.answers);
  request.set_minutes_wanted(flags.minutes);
  if (flags.group) {
    v1::GroupInvite* group = request.mutable_group();
    group->set_cap(flags.cap);
    group->set_consent(flags.consent);
    group->set_price(flags.price);
    group->set_completion_code(flags.completion_code);
    group->set_redirect_url(flags.redirect);
  }
  ASSIGN_OR_RETURN(const std::string url, PagesUrlOf(call.stack));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const std::string link, Invite(*session.broker, url, request));
  absl::PrintF("%s\n", link);
  if (!flags.group) return absl::OkStatus();
  std::fflush(stdout);
  absl::FPrintF(stderr,
                "A platform adds each participant's id, as PROLIFIC_PID, workerId or participant; "
                "on Prolific:\n%s\n",
                absl::StrReplaceAll(link, {{"#", "?PROLIFIC_PID={{%PROLIFIC_PID%}}#"}}));
  return absl::OkStatus();
}

std::string InviteText(const v1::InviteState& invite) {
  if (invite.withdrawn_ms() != 0) return "withdrawn";
  if (absl::FromUnixMillis(invite.expires_ms()) <= absl::Now()) return "expired";
  if (invite.taken() >= invite.cap()) return invite.group() ? "full" : "used";
  return "open";
}

std::string RoleText(v1::InviteRole role) {
  return absl::AsciiStrToLower(absl::StripPrefix(v1::InviteRole_Name(role), "INVITE_"));
}

absl::Status ListInvites(const Call& call) {
  v1::ListInvitesRequest request;
  request.set_limit(1000);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  absl::PrintF("%6s  %-24s %-9s %-9s %9s %8s  %-16s %s\n", "invite", "name", "role", "state",
               "places", "answered", "until", "runs");
  while (true) {
    ASSIGN_OR_RETURN(
        const v1::ListInvitesResponse response,
        session.broker->Call<PeopleService>(&PeopleService::Stub::ListInvites, request));
    for (const v1::InviteState& i : response.invites()) {
      request.set_before_invite_id(i.invite_id());
      absl::PrintF("%6d  %-24s %-9s %-9s %9s %8d  %-16s %s\n", i.invite_id(), i.name(),
                   RoleText(i.role()), InviteText(i),
                   i.group() ? absl::StrCat(i.taken(), " of ", i.cap()) : "-", i.answered(),
                   MomentText(i.expires_ms()),
                   i.run_ids().empty() ? "all" : absl::StrJoin(i.run_ids(), ","));
    }
    if (response.invites_size() < request.limit()) return absl::OkStatus();
  }
}

// A number that `labeler invites` lists.
absl::StatusOr<int64_t> ParseInvite(const std::string& text) {
  return ParseId(text, "invite; `backflip labeler invites` lists them");
}

absl::Status Withdraw(const Call& call) {
  v1::WithdrawInviteRequest request;
  ASSIGN_OR_RETURN(const int64_t id, ParseInvite(call.Word(0)));
  request.set_invite_id(id);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return session.broker->Call<PeopleService>(&PeopleService::Stub::WithdrawInvite, request)
      .status();
}

absl::Status SetCap(const Call& call) {
  v1::SetInviteCapRequest request;
  ASSIGN_OR_RETURN(const int64_t id, ParseInvite(call.Word(0)));
  request.set_invite_id(id);
  int32_t cap = 0;
  if (!absl::SimpleAtoi(call.Word(1), &cap)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", call.Word(1), "' is no number of places: give a whole one, such as 60"));
  }
  request.set_cap(cap);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::InviteState invite, session.broker->Call<PeopleService>(
                                                     &PeopleService::Stub::SetInviteCap, request));
  absl::PrintF("%d of %d places are taken\n", invite.taken(), invite.cap());
  return absl::OkStatus();
}

absl::Status Reset(const Call& call) {
  v1::ResetLabelerRequest request;
  request.set_name(call.Word(0));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return session.broker->Call<PeopleService>(&PeopleService::Stub::ResetLabeler, request).status();
}

std::string Percent(bool known, double share) {
  return known ? absl::StrFormat("%.0f %%", 100 * share) : "-";
}

std::string StateText(v1::LabelerState state) {
  switch (state) {
    case v1::LABELER_PAUSED:
      return "paused";
    case v1::REVOKED:
      return "revoked";
    default:
      return "active";
  }
}

absl::Status ListLabelers(const Call& call) {
  v1::ListLabelersRequest request;
  if (!flags.run.empty()) {
    ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(flags.run));
    request.set_run_id(run_id);
  }
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::ListLabelersResponse response,
      session.broker->CallPages<PeopleService>(&PeopleService::Stub::ListLabelers, request));
  absl::PrintF("%-24s %-8s %7s %8s %6s %11s %6s %12s  %s\n", "labeler", "state", "labels",
               "seconds", "gold", "consistency", "left", "reliability", "reason");
  for (const v1::Labeler& l : response.labelers()) {
    absl::PrintF("%-24s %-8s %7d %8s %6s %11s %6s %12s  %s\n",
                 absl::StrCat(l.name(), l.teacher() ? " (teacher)" : ""), StateText(l.state()),
                 l.labels(),
                 l.median_seconds() > 0 ? absl::StrFormat("%.1f", l.median_seconds()) : "-",
                 Percent(l.has_gold_score(), l.gold_score()),
                 Percent(l.has_self_consistency(), l.self_consistency()),
                 Percent(l.has_left_share(), l.left_share()),
                 l.has_reliability()
                     ? absl::StrFormat("%.2f-%.2f", l.reliability_low(), l.reliability_high())
                     : "-",
                 l.reason());
  }
  return absl::OkStatus();
}

absl::Status PrintStatement(const Call& call) {
  v1::StatementRequest request;
  RETURN_IF_ERROR(SetRunAndSince(flags.run, flags.since, &request));
  if (!flags.until.empty()) {
    ASSIGN_OR_RETURN(const absl::Time until,
                     ParseMoment("until", flags.until, absl::Now(), /*future=*/false));
    request.set_until_ms(absl::ToUnixMillis(until));
  }
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::StatementResponse response,
      session.broker->CallPages<PeopleService>(&PeopleService::Stub::Statement, request));
  std::string csv =
      "name,outside_id,labels,active_minutes,waiting_minutes,gold_score,completion_code\r\n";
  for (const v1::StatementRow& row : response.rows()) {
    absl::StrAppendFormat(&csv, "%s,%s,%d,%.2f,%.2f,%s,%s\r\n", CsvField(row.name()),
                          CsvField(row.outside_id()), row.labels(), row.active_minutes(),
                          row.waiting_minutes(),
                          row.has_gold_score() ? absl::StrFormat("%.3f", row.gold_score()) : "",
                          CsvField(row.completion_code()));
  }
  std::fputs(csv.c_str(), stdout);
  return absl::OkStatus();
}

absl::Status SetState(v1::LabelerState state, const Call& call) {
  v1::SetLabelerStateRequest request;
  request.set_name(call.Word(0));
  request.set_state(state);
  request.set_reason(flags.reason);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return session.broker->Call<PeopleService>(&PeopleService::Stub::SetLabelerState, request)
      .status();
}

absl::Status Forget(const Call& call) {
  v1::ForgetLabelerRequest request;
  request.set_name(call.Word(0));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::ForgetLabelerResponse response,
      session.broker->Call<PeopleService>(&PeopleService::Stub::ForgetLabeler, request));
  absl::PrintF("the labels stay, under the name %s\n", response.name());
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kPeople,
     "labeler invite",
     "a link for somebody who labels, or for many of them",
     InviteLabeler,
     {Flag("name NAME", &flags.name,
           "the labeler's pseudonym; of a group: what its members' names begin with")
          .Required(),
      {"role ROLE",
       &flags.role,
       {{"labeler", v1::INVITE_LABELER},
        {"reviewer", v1::INVITE_REVIEWER},
        {"operator", v1::INVITE_OPERATOR},
        {"teacher", v1::INVITE_TEACHER}},
       "labeler, reviewer, operator or teacher (a program)"},
      {"runs RUN,...", &flags.runs, "runs to answer for, such as 1,2. Default: all"},
      {"expires TIME", &flags.expires, "until when it can be accepted: 7d, 12h, 2026-12-01"},
      {"answers N", &flags.answers, "ends after this many answers. Default: no end"},
      {"minutes N", &flags.minutes, "ends after this many minutes. Default: no end"},
      {"group", &flags.group,
       "one link for many, each known by an id of the platform they come from"},
      {"cap N", &flags.cap, "with --group: most labelers"},
      {"consent TEXT", &flags.consent, "with --group: shown before they start"},
      {"price TEXT", &flags.price, "with --group: what is paid"},
      {"completion-code CODE", &flags.completion_code,
       "with --group: shown at the end, to be given to the platform"},
      {"redirect URL", &flags.redirect,
       "with --group: https address to which the page goes on after the code"}},
     "The link works once; that of a group, for as many people as --cap says."},
    {Section::kPeople,
     "labeler invites",
     "all links that were made: who may still come, and how many did",
     ListInvites,
     {},
     "A place in a group is taken by who starts, and is the next one's to take when an hour has "
     "brought no answer."},
    {Section::kPeople, "labeler cap INVITE PLACES", "give a group another number of places",
     SetCap},
    {Section::kPeople, "labeler withdraw INVITE",
     "let nobody in by a link any more; who is in stays", Withdraw},
    {Section::kPeople,
     "labeler list",
     "who labels, and how well",
     ListLabelers,
     {{"run RUN", &flags.run, "figures of this run alone. Default: of all runs"}}},
    {Section::kPeople,
     "labeler statement",
     "what each labeler worked, as CSV, to pay by",
     PrintStatement,
     {{"run RUN", &flags.run, "of this run alone. Default: of all runs"},
      {"since TIME", &flags.since, "from when, such as 7d or 2026-12-01. Default: all"},
      {"until TIME", &flags.until, "until when. Default: now"}}},
    {Section::kPeople,
     "labeler pause NAME",
     "give a labeler no more questions for now",
     [](const Call& call) { return SetState(v1::LABELER_PAUSED, call); },
     {{"reason TEXT", &flags.reason, "shown to the labeler"}}},
    {Section::kPeople, "labeler resume NAME", "give a paused labeler questions again",
     [](const Call& call) { return SetState(v1::ACTIVE, call); }},
    {Section::kPeople,
     "labeler revoke NAME",
     "refuse a labeler's token for good; the labels stay",
     [](const Call& call) { return SetState(v1::REVOKED, call); },
     {{"reason TEXT", &flags.reason, "for `labeler list`; the labeler is not told"}}},
    {Section::kPeople, "labeler reset NAME",
     "let one of a group start again on another device, by their id", Reset},
    {Section::kPeople, "labeler forget NAME",
     "erase name and tokens; the labels stay under a pseudonym", Forget},
};

}  // namespace
}  // namespace backflip::cli
