#include "services/preference_broker/rpc/roles.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"

namespace backflip::preference_broker {
namespace {

constexpr Role kLabeler = Role::kLabeler;
constexpr Role kTeacher = Role::kTeacher;
constexpr Role kReviewer = Role::kReviewer;
constexpr Role kOperator = Role::kOperator;
constexpr Role kLearner = Role::kLearner;
constexpr Role kTrainer = Role::kTrainer;
constexpr Role kWorker = Role::kWorker;

// Callers that have no token yet.
constexpr std::array<absl::string_view, 2> kOpenToAnyone = {"PeopleService/DescribeInvite",
                                                            "PeopleService/AcceptInvite"};

struct Rule {
  absl::string_view method;
  std::initializer_list<Role> roles;
};

const std::initializer_list<Rule> kRules = {
    {"RunService/Create", {kOperator}},
    {"RunService/Get", {kOperator, kReviewer, kLearner, kTrainer, kWorker}},
    {"RunService/List", {kOperator, kReviewer}},
    {"RunService/Watch", {kOperator, kReviewer, kLearner, kTrainer, kWorker}},
    {"RunService/Continue", {kOperator}},
    {"RunService/Cancel", {kOperator}},
    {"RunService/StopAsking", {kOperator}},
    {"RunService/Fork", {kOperator}},
    {"RunService/ListMetrics", {kOperator, kReviewer}},
    {"RunService/ReportMetrics", {kLearner, kTrainer}},
    {"RunService/ReportEvaluation", {kWorker}},
    {"RunService/ListEvaluations", {kOperator, kReviewer}},

    {"ClipService/Upload", {kWorker}},
    {"ClipService/ListCandidates", {kTrainer}},

    {"LabelingService/Lease", {kLabeler, kTeacher}},
    {"LabelingService/Heartbeat", {kLabeler, kTeacher}},
    {"LabelingService/Submit", {kLabeler, kTeacher}},
    {"LabelingService/Undo", {kLabeler, kTeacher}},
    {"LabelingService/GetSession", {kLabeler, kTeacher}},
    {"LabelingService/GetGuide", {kLabeler, kTeacher}},
    {"LabelingService/GetScene", {kLabeler, kTeacher, kReviewer, kOperator}},
    {"LabelingService/Export", {kReviewer, kOperator}},

    {"PeopleService/Invite", {kOperator}},
    {"PeopleService/SignOut",
     {kLabeler, kTeacher, kReviewer, kOperator, kLearner, kTrainer, kWorker}},
    {"PeopleService/ListLabelers", {kReviewer, kOperator}},
    {"PeopleService/SetLabelerState", {kReviewer, kOperator}},
    {"PeopleService/ForgetLabeler", {kOperator}},
    {"PeopleService/Statement", {kOperator}},
    {"PeopleService/RetractLabels", {kOperator}},

    {"TrainingService/OpenQuestions", {kTrainer}},
    {"TrainingService/FollowLabels", {kTrainer}},
    {"TrainingService/ReportReliability", {kTrainer}},

    {"SnapshotService/Publish", {kLearner, kTrainer}},
    {"SnapshotService/Get", {kLearner, kTrainer, kWorker, kOperator, kReviewer}},
    {"SnapshotService/Watch", {kLearner, kTrainer, kWorker, kOperator, kReviewer}},
    {"SnapshotService/List", {kLearner, kTrainer, kWorker, kOperator, kReviewer}},
    {"SnapshotService/SetBest", {kLearner}},
    {"SnapshotService/SaveCheckpoint", {kLearner, kTrainer}},
    {"SnapshotService/LoadCheckpoint", {kLearner, kTrainer}},

    {"BundleService/Put", {kOperator}},
    {"BundleService/Get", {kWorker, kOperator, kReviewer}},
    {"BundleService/PutScene", {kOperator}},

    {"ClaimService/Claim", {kLearner, kTrainer}},
    {"ClaimService/Renew", {kLearner, kTrainer}},
    {"ClaimService/Release", {kLearner, kTrainer}},
    {"ClaimService/CompleteBatch", {kLearner}},

    {"WorkService/AssignWork", {kWorker}},

    {"ReviewService/Watch", {kReviewer, kOperator}},
    {"ReviewService/ListLabels", {kReviewer, kOperator}},
    {"ReviewService/ListDisagreements", {kReviewer, kOperator}},
    {"ReviewService/GetClips", {kReviewer, kOperator}},
    {"ReviewService/GetEpisode", {kReviewer, kOperator}},
    {"ReviewService/AskAbout", {kReviewer, kOperator}},
    {"ReviewService/AddGold", {kReviewer, kOperator}},
    {"ReviewService/ListGold", {kReviewer, kOperator}},
    {"ReviewService/RemoveGold", {kReviewer, kOperator}},
    {"ReviewService/ExportClips", {kReviewer, kOperator}},
    {"ReviewService/ImportLabels", {kOperator}},
};

}  // namespace

bool IsOpenToAnyone(absl::string_view method) {
  return std::find(kOpenToAnyone.begin(), kOpenToAnyone.end(), method) != kOpenToAnyone.end();
}

absl::Status CheckRole(absl::string_view method, Role role) {
  for (const Rule& rule : kRules) {
    if (rule.method == method &&
        std::find(rule.roles.begin(), rule.roles.end(), role) != rule.roles.end()) {
      return absl::OkStatus();
    }
  }
  return absl::PermissionDeniedError(absl::StrCat("a ", RoleName(role), " may not call ", method,
                                                  ": use a token of a role that may"));
}

}  // namespace backflip::preference_broker
