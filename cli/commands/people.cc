#include "cli/commands/people.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "backflip/v1/people.grpc.pb.h"
#include "backflip/v1/review.grpc.pb.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

using v1::PeopleService;
using v1::ReviewService;

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

}  // namespace

absl::StatusOr<absl::Time> ParseMoment(absl::string_view flag, const std::string& text,
                                       absl::Time now, bool future) {
  absl::Duration distance;
  absl::string_view digits = text;
  int64_t days = 0;
  if (absl::ConsumeSuffix(&digits, "d") && absl::SimpleAtoi(digits, &days)) {
    distance = days * absl::Hours(24);
  } else if (!absl::ParseDuration(text, &distance)) {
    absl::Time time;
    std::string ignored;
    for (const char* format : {"%Y-%m-%d", "%Y-%m-%d%ET%H:%M", absl::RFC3339_sec}) {
      if (absl::ParseTime(format, text, absl::LocalTimeZone(), &time, &ignored)) {
        return time;
      }
    }
    return absl::InvalidArgumentError(absl::StrCat("--", std::string(flag), " is '", text,
                                                   "'; say a day (2026-12-01), a moment "
                                                   "(2026-12-01T18:30), or how long ",
                                                   future ? "from now" : "ago", " (7d, 12h, 30m)"));
  }
  if (distance < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", std::string(flag), " is '", text, "', but must not be negative"));
  }
  return future ? now + distance : now - distance;
}

absl::StatusOr<std::vector<int64_t>> ParseRuns(absl::string_view flag, const std::string& text) {
  std::vector<int64_t> runs;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int64_t run = 0;
    if (!absl::SimpleAtoi(part, &run) || run < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", std::string(flag), " is '", text,
                       "'; it takes numbers of runs with commas between them"));
    }
    runs.push_back(run);
  }
  return runs;
}

absl::StatusOr<std::string> LabelerTable(const client::BrokerClient& broker, int64_t run_id) {
  v1::ListLabelersRequest request;
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const v1::ListLabelersResponse response,
                   broker.Call<PeopleService>(&PeopleService::Stub::ListLabelers, request));
  std::string table =
      absl::StrFormat("%-24s %-8s %7s %8s %6s %11s %6s %12s  %s\n", "labeler", "state", "labels",
                      "seconds", "gold", "consistency", "left", "reliability", "reason");
  for (const v1::Labeler& l : response.labelers()) {
    absl::StrAppend(
        &table,
        absl::StrFormat(
            "%-24s %-8s %7d %8s %6s %11s %6s %12s  %s\n",
            absl::StrCat(l.name(), l.teacher() ? " (teacher)" : ""), StateText(l.state()),
            l.labels(), l.median_seconds() > 0 ? absl::StrFormat("%.1f", l.median_seconds()) : "-",
            Percent(l.has_gold_score(), l.gold_score()),
            Percent(l.has_self_consistency(), l.self_consistency()),
            Percent(l.has_left_share(), l.left_share()),
            l.has_reliability()
                ? absl::StrFormat("%.2f-%.2f", l.reliability_low(), l.reliability_high())
                : "-",
            l.reason()));
  }
  return table;
}

absl::Status SetLabelerState(const client::BrokerClient& broker, const std::string& name,
                             v1::LabelerState state, const std::string& reason) {
  v1::SetLabelerStateRequest request;
  request.set_name(name);
  request.set_state(state);
  request.set_reason(reason);
  return broker.Call<PeopleService>(&PeopleService::Stub::SetLabelerState, request).status();
}

absl::StatusOr<std::string> ForgetLabeler(const client::BrokerClient& broker,
                                          const std::string& name) {
  v1::ForgetLabelerRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const v1::ForgetLabelerResponse response,
                   broker.Call<PeopleService>(&PeopleService::Stub::ForgetLabeler, request));
  return response.name();
}

absl::StatusOr<std::string> StatementCsv(const client::BrokerClient& broker, int64_t run_id,
                                         absl::Time since, absl::Time until) {
  v1::StatementRequest request;
  request.set_run_id(run_id);
  if (since > absl::UnixEpoch()) request.set_since_ms(absl::ToUnixMillis(since));
  if (until < absl::InfiniteFuture()) {
    request.set_until_ms(absl::ToUnixMillis(until));
  }
  ASSIGN_OR_RETURN(const v1::StatementResponse response,
                   broker.Call<PeopleService>(&PeopleService::Stub::Statement, request));
  std::string csv =
      "name,outside_id,labels,active_minutes,waiting_minutes,gold_score,"
      "completion_code\r\n";
  for (const v1::StatementRow& row : response.rows()) {
    absl::StrAppend(
        &csv, absl::StrFormat("%s,%s,%d,%.2f,%.2f,%s,%s\r\n", CsvField(row.name()),
                              CsvField(row.outside_id()), row.labels(), row.active_minutes(),
                              row.waiting_minutes(),
                              row.has_gold_score() ? absl::StrFormat("%.3f", row.gold_score()) : "",
                              CsvField(row.completion_code())));
  }
  return csv;
}

absl::StatusOr<v1::RetractLabelsResponse> RetractLabels(const client::BrokerClient& broker,
                                                        const std::string& name, int64_t run_id,
                                                        absl::Time since) {
  v1::RetractLabelsRequest request;
  request.set_request_id(base::RandomHex128());
  request.set_name(name);
  request.set_run_id(run_id);
  if (since > absl::UnixEpoch()) request.set_since_ms(absl::ToUnixMillis(since));
  return broker.Call<PeopleService>(&PeopleService::Stub::RetractLabels, request);
}

absl::StatusOr<v1::Choice> ParseAnswer(const std::string& text) {
  if (text == "left") return v1::LEFT;
  if (text == "right") return v1::RIGHT;
  if (text == "tie") return v1::TIE;
  return absl::InvalidArgumentError(absl::StrCat("--answer is '", text,
                                                 "'; it must be left (the first clip is better), "
                                                 "right or tie"));
}

absl::StatusOr<v1::GoldUse> ParseGoldUse(const std::string& text) {
  if (text == "check") return v1::CHECK;
  if (text == "qualify") return v1::QUALIFY;
  if (text == "show") return v1::SHOW;
  return absl::InvalidArgumentError(
      absl::StrCat("--use is '", text,
                   "'; it must be check (asked among the others), "
                   "qualify (asked of new labelers, with feedback) or show (in the guide)"));
}

absl::StatusOr<std::string> GoldTable(const client::BrokerClient& broker, int64_t run_id) {
  v1::ListGoldRequest request;
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const v1::ListGoldResponse response,
                   broker.Call<ReviewService>(&ReviewService::Stub::ListGold, request));
  std::string table =
      absl::StrFormat("%6s %-8s %-6s %6s %6s  %-12s %-12s %s\n", "gold", "use", "answer", "asked",
                      "right", "first clip", "second clip", "why");
  for (const v1::GoldPair& pair : response.pairs()) {
    absl::StrAppend(
        &table, absl::StrFormat("%6d %-8s %-6s %6d %6d  %-12s %-12s %s\n", pair.gold_id(),
                                absl::AsciiStrToLower(v1::GoldUse_Name(pair.use())),
                                absl::AsciiStrToLower(v1::Choice_Name(pair.answer())), pair.asked(),
                                pair.answered_right(), pair.clip_ids(0).substr(0, 12),
                                pair.clip_ids(1).substr(0, 12), pair.explanation()));
  }
  return table;
}

std::string CsvField(absl::string_view text) {
  // a name or a note that somebody sent must not become a spreadsheet's formula
  const bool formula = !text.empty() && absl::StrContains("=+-@\t\r", text.substr(0, 1));
  const std::string field = absl::StrCat(formula ? "'" : "", text);
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  return absl::StrCat("\"", absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\"");
}

}  // namespace backflip::cli
