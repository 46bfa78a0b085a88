#include "services/preference_broker/state_metrics.h"

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/preference_broker/store/review/state.h"

namespace backflip::preference_broker {
namespace {

constexpr std::chrono::seconds kPatience(5);

// Charts of a run (MetricPoint.name) that are metrics, too.
constexpr char kTrainingLoss[] = "reward/loss";
constexpr char kHeldOutLoss[] = "reward/held_out_loss";
constexpr char kAccuracy[] = "reward/accuracy";
constexpr char kPredictedReturn[] = "predicted_return";
constexpr char kTrueReturn[] = "true_return";
constexpr char kLearnedLabels[] = "policy/reward_labels";

absl::StatusOr<Standing> Ask(Pool& pool) {
  const auto answer = std::make_shared<std::promise<absl::StatusOr<Standing>>>();
  std::future<absl::StatusOr<Standing>> standing = answer->get_future();
  const bool taken = pool.Submit(
      [answer](Connection& connection) {
        answer->set_value(
            ReadStanding(connection, {kTrainingLoss, kHeldOutLoss, kAccuracy, kPredictedReturn,
                                      kTrueReturn, kLearnedLabels}));
      },
      Lane::kReview);
  if (!taken || standing.wait_for(kPatience) != std::future_status::ready)
    return absl::UnavailableError("the database is busy or away");
  return standing.get();
}

// One family for each of these, with a value for each run that has one.
struct OfRuns {
  std::string name, help;
  bool counter;
  std::function<void(const RunStanding&, const std::function<void(double, metrics::Labels)>& add)>
      values;
};

OfRuns Value(const char* name, const char* help, double (*value)(const RunStanding&),
             bool counter = false) {
  return {name, help, counter,
          [value](const RunStanding& run, const auto& add) { add(value(run), {}); }};
}

OfRuns Chart(const char* name, const char* help, const char* chart) {
  return {name, help, false, [chart](const RunStanding& run, const auto& add) {
            if (const auto at = run.charts.find(chart); at != run.charts.end()) add(at->second, {});
          }};
}

OfRuns ByRole(const char* name, const char* help, std::map<std::string, int64_t> RunStanding::*of,
              bool counter) {
  return {name, help, counter, [of](const RunStanding& run, const auto& add) {
            for (const auto& [role, value] : run.*of) add(value, {{"role", role}});
          }};
}

std::vector<OfRuns> AllOfRuns() {
  using Run = const RunStanding&;
  return {
      Value(
          "backflip_run_steps_total", "Steps of the run's whole batches.",
          [](Run run) { return double(run.steps); }, /*counter=*/true),
      Value("backflip_run_labels", "Labels that count towards the run's budget.",
            [](Run run) { return double(run.labels); }),
      Value("backflip_run_open_answers",
            "Answers that are wanted and that nobody is asked for now.",
            [](Run run) { return double(run.open_answers); }),
      Value("backflip_run_leases", "Questions that labelers hold.",
            [](Run run) { return double(run.live_leases); }),
      Value("backflip_run_unlearned_labels", "Labels that no ensemble was fitted to yet.",
            [](Run run) { return double(run.unlearned_labels); }),
      Value("backflip_run_unlearned_label_age_seconds",
            "Age of the oldest label that no ensemble was fitted to; 0: there is none.",
            [](Run run) { return run.unlearned_seconds; }),
      Value("backflip_run_wanted_steps", "Steps that the learner wants from workers now.",
            [](Run run) { return double(run.wanted_steps); }),
      Value("backflip_run_worker_threads", "Threads of the workers that serve the run.",
            [](Run run) { return double(run.worker_threads); }),
      ByRole("backflip_run_claims_total", "Claims on the run, by role: restarts and takings over.",
             &RunStanding::claims, /*counter=*/true),
      ByRole("backflip_run_attempts",
             "Claims in a row that came to nothing, by role; at 5 the run fails.",
             &RunStanding::attempts, /*counter=*/false),
      Chart("backflip_run_reward_accuracy_ratio",
            "Share of the labels that the newest ensemble predicts, 0 to 1.", kAccuracy),
      Chart("backflip_run_predicted_return",
            "Return of the newest evaluated policy by the learned reward.", kPredictedReturn),
      Chart("backflip_run_true_return",
            "The same by the task's true reward, where it has one; no part of learning.",
            kTrueReturn),
      {"backflip_run_validation_ratio",
       "Loss on held-out labels over that on training labels; beyond 1.5 the ensemble overfits.",
       false,
       [](Run run, const auto& add) {
         const auto held_out = run.charts.find(kHeldOutLoss),
                    training = run.charts.find(kTrainingLoss);
         if (held_out == run.charts.end() || training == run.charts.end()) return;
         if (training->second > 0) add(held_out->second / training->second, {});
       }},
      {"backflip_run_policy_lag_labels", "Labels that the newest policy has not learned from.",
       false, [](Run run, const auto& add) {
         const auto learned = run.charts.find(kLearnedLabels);
         if (learned != run.charts.end()) add(run.labels - learned->second, {});
       }}};
}

}  // namespace

std::vector<prometheus::MetricFamily> StateMetrics::Collect() const {
  base::MutexLock lock(&mutex_);
  std::vector<prometheus::MetricFamily> families;
  if (pool_ == nullptr) return families;
  metrics::Family queued("backflip_queued_calls",
                         "Jobs that wait for a connection to the database, by lane: short, bulk, "
                         "review.");
  queued.Add(pool_->Queued(Lane::kShort), {{"lane", "short"}});
  queued.Add(pool_->Queued(Lane::kBulk), {{"lane", "bulk"}});
  queued.Add(pool_->Queued(Lane::kReview), {{"lane", "review"}});
  families.push_back(std::move(queued).Take());
  metrics::Family up("backflip_database_up",
                     "1 where the database has answered this broker within ten seconds.");
  up.Add(ready_());
  families.push_back(std::move(up).Take());
  const absl::StatusOr<Standing> standing = Ask(*pool_);
  if (!standing.ok()) return families;
  metrics::Family runs("backflip_runs", "Runs by state.");
  for (const char* state : {"QUEUED", "RUNNING", "PAUSED", "FINISHED", "FAILED", "CANCELLED"}) {
    const auto at = standing->runs.find(state);
    runs.Add(at == standing->runs.end() ? 0 : at->second,
             {{"state", absl::AsciiStrToLower(state)}});
  }
  families.push_back(std::move(runs).Take());
  for (const OfRuns& of : AllOfRuns()) {
    metrics::Family family(of.name, of.help, of.counter);
    for (const RunStanding& run : standing->active) {
      of.values(run, [&](double value, metrics::Labels labels) {
        labels["run"] = absl::StrCat(run.run_id);
        family.Add(value, labels);
      });
    }
    families.push_back(std::move(family).Take());
  }
  return families;
}

void StateMetrics::End() {
  base::MutexLock lock(&mutex_);
  pool_ = nullptr;
}

}  // namespace backflip::preference_broker
