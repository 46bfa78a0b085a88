#include "cli/output/status_block.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace backflip::cli {
namespace {

constexpr absl::Duration kPaceWindow = absl::Seconds(30);
constexpr absl::Duration kPlainLineEvery = absl::Seconds(10);
constexpr absl::Duration kFirstReminder = absl::Minutes(2);

std::optional<double> MetricOf(const v1::Run& run, const std::string& name) {
  const auto found = run.metrics().find(name);
  if (found == run.metrics().end()) return std::nullopt;
  return found->second;
}

std::string Number(std::optional<double> value) { return value.has_value() ? Short(*value) : "-"; }

// Name and value of each metric of the task.
std::vector<std::string> Measures(const v1::Run& run) {
  std::vector<std::string> measures;
  for (const std::string& name : run.task().metrics()) {
    measures.push_back(absl::StrCat(name, " ", Number(MetricOf(run, name))));
  }
  return measures;
}

std::string Accuracy(const v1::Run& run) {
  const std::optional<double> accuracy = MetricOf(run, "reward/accuracy");
  return accuracy.has_value() ? absl::StrFormat("%.0f %%", *accuracy * 100) : "-";
}

std::string Bar(double share, int width) {
  const int filled = std::clamp<int>(std::lround(share * width), 0, width);
  std::string bar;
  for (int i = 0; i < width; ++i) absl::StrAppend(&bar, i < filled ? "█" : "░");
  return bar;
}

double Share(const v1::Run& run) {
  if (run.spec().steps() <= 0) return 0;
  return std::min(1.0, static_cast<double>(run.steps()) / run.spec().steps());
}

std::string LabelsText(const v1::Run& run) {
  if (run.spec().reward() == v1::TRUE) return "labels none (true reward)";
  return absl::StrCat("labels ", run.labels(), " of ", run.spec().labels());
}

std::string StateText(const v1::Run& run) {
  const std::string limit = LimitText(run.limit());
  if (run.state() != v1::RUNNING || limit.empty()) return StateName(run.state());
  return absl::StrCat(StateName(run.state()), ", ", limit);
}

// Whether the steps that are left will be done at the pace they are done now: no, while the run
// waits for anything, and where people have still to earn some of them by labels.
bool KnowsItsEnd(const v1::Run& run) {
  const v1::RunSpec& spec = run.spec();
  const bool earned = spec.reward() == v1::TRUE || spec.lockstep() || spec.steps_per_label() == 0 ||
                      run.labels() >= spec.labels();
  return run.state() == v1::RUNNING && LimitText(run.limit()).empty() && earned;
}

std::string TimeText(const v1::Run& run, const Pace& pace, absl::Duration elapsed) {
  const std::string since = absl::StrCat(Clock(elapsed), " elapsed");
  if (!KnowsItsEnd(run)) return since;
  const std::optional<absl::Duration> left =
      pace.Remaining(std::max<int64_t>(0, run.spec().steps() - run.steps()));
  return absl::StrCat(since, ", ", left.has_value() ? Clock(*left) : "?", " left");
}

}  // namespace

void Pace::Add(absl::Time now, int64_t steps) {
  // a run that went back to a checkpoint begins a new measurement
  if (!points_.empty() && steps < points_.back().second) points_.clear();
  points_.emplace_back(now, steps);
  while (points_.size() > 2 && now - points_[1].first >= kPaceWindow) {
    points_.pop_front();
  }
}

double Pace::steps_per_second() const {
  if (points_.size() < 2) return 0;
  const double seconds = absl::ToDoubleSeconds(points_.back().first - points_.front().first);
  if (seconds <= 0) return 0;
  return (points_.back().second - points_.front().second) / seconds;
}

std::optional<absl::Duration> Pace::Remaining(int64_t steps) const {
  const double speed = steps_per_second();
  if (speed <= 0) return std::nullopt;
  return absl::Seconds(steps / speed);
}

std::string Short(double number) {
  const double size = std::abs(number);
  if (size >= 1e6) return absl::StrFormat("%.2f M", number / 1e6);
  if (size >= 1e4) return absl::StrFormat("%.0f k", number / 1e3);
  if (size >= 100 || number == std::round(number)) {
    return absl::StrFormat("%.0f", number);
  }
  return absl::StrFormat("%.2f", number);
}

std::string Clock(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  }
  return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
}

std::string StateName(v1::RunState state) {
  return absl::AsciiStrToLower(v1::RunState_Name(state));
}

std::string LimitText(v1::Limit limit) {
  switch (limit) {
    case v1::LIMIT_LEARNER:
      return "waiting for a learner";
    case v1::LIMIT_TRAINER:
      return "waiting for a trainer";
    case v1::LIMIT_WORKERS:
      return "waiting for workers";
    case v1::LIMIT_LABELS:
      return "waiting for labels";
    default:
      return "";
  }
}

std::vector<std::string> StatusBlock(const v1::Run& run, const Pace& pace, absl::Duration elapsed,
                                     int columns) {
  std::vector<std::string> lines;
  lines.push_back(absl::StrFormat("run %d  %s  %s", run.id(), run.task().name(), StateText(run)));
  lines.push_back(absl::StrFormat("  %s   steps %s of %s   %s steps/s", LabelsText(run),
                                  Short(run.steps()), Short(run.spec().steps()),
                                  Short(std::round(pace.steps_per_second()))));
  std::string returns;
  if (run.spec().reward() != v1::TRUE) {
    returns = absl::StrCat("  reward model accuracy ", Accuracy(run), "   predicted return ",
                           Number(MetricOf(run, "predicted_return")), " ");
  }
  if (run.task().has_true_reward()) {
    absl::StrAppend(&returns, "  true return ", Number(MetricOf(run, "true_return")));
  }
  if (!returns.empty()) lines.push_back(returns);
  if (run.task().metrics_size() > 0) {
    lines.push_back(absl::StrCat("  per episode: ", absl::StrJoin(Measures(run), "   ")));
  }
  // characters of the lines so far are single bytes, but not those of the bar
  for (std::string& line : lines) {
    if (static_cast<int>(line.size()) > columns) line.resize(columns);
  }
  const std::string time =
      absl::StrFormat(" %3.0f %%  %s", 100 * Share(run), TimeText(run, pace, elapsed));
  const int width = std::clamp<int>(columns - time.size() - 3, 5, 40);
  lines.push_back(absl::StrCat("  ", Bar(Share(run), width), time));
  return lines;
}

std::string StatusLine(const v1::Run& run, const Pace& pace, absl::Duration elapsed) {
  std::string line = absl::StrFormat("run %d %s: %s, steps %d of %d (%.0f %%), %.0f steps/s",
                                     run.id(), StateText(run), LabelsText(run), run.steps(),
                                     run.spec().steps(), 100 * Share(run), pace.steps_per_second());
  if (run.spec().reward() != v1::TRUE) {
    absl::StrAppend(&line, ", accuracy ", Accuracy(run), ", predicted return ",
                    Number(MetricOf(run, "predicted_return")));
  }
  if (run.task().has_true_reward()) {
    absl::StrAppend(&line, ", true return ", Number(MetricOf(run, "true_return")));
  }
  for (const std::string& measure : Measures(run)) {
    absl::StrAppend(&line, ", ", measure);
  }
  return absl::StrCat(line, ", ", TimeText(run, pace, elapsed));
}

LiveStatus::LiveStatus(std::FILE* out) : out_(out), terminal_(isatty(fileno(out)) != 0) {}

void LiveStatus::Erase() {
  if (!block_.empty()) std::fprintf(out_, "\033[%zuA\r\033[J", block_.size());
  block_.clear();
}

void LiveStatus::RemindWhileWaiting(std::function<std::string()> sentence) {
  reminder_ = std::move(sentence);
}

void LiveStatus::RemindIfDue(const v1::Run& run, absl::Duration elapsed) {
  const bool waits = run.state() == v1::RUNNING && run.limit() == v1::LIMIT_LABELS;
  if (!waits || run.labels() != waiting_labels_) {
    waiting_labels_ = waits ? run.labels() : -1;
    waiting_since_ = elapsed;
    next_reminder_ = elapsed + kFirstReminder;
  } else if (reminder_ && elapsed >= next_reminder_) {
    next_reminder_ = waiting_since_ + 2 * (elapsed - waiting_since_);
    Say(reminder_());
  }
}

void LiveStatus::Show(const v1::Run& run, const Pace& pace, absl::Duration elapsed) {
  RemindIfDue(run, elapsed);
  if (!terminal_) {
    const absl::Time now = absl::Now();
    if (now - last_line_ < kPlainLineEvery) return;
    last_line_ = now;
    std::fprintf(out_, "%s\n", StatusLine(run, pace, elapsed).c_str());
    std::fflush(out_);
    return;
  }
  winsize size = {};
  ioctl(fileno(out_), TIOCGWINSZ, &size);
  // a line that wraps would not be erased
  const int columns = size.ws_col > 20 ? size.ws_col - 1 : 79;
  Erase();
  block_ = StatusBlock(run, pace, elapsed, columns);
  for (const std::string& line : block_) {
    std::fprintf(out_, "%s\n", line.c_str());
  }
  std::fflush(out_);
}

void LiveStatus::Say(const std::string& sentence) {
  Erase();
  std::fprintf(out_, "%s\n", sentence.c_str());
  std::fflush(out_);
}

void LiveStatus::Finish() { block_.clear(); }

}  // namespace backflip::cli
