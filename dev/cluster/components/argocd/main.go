// Command argocd-lua asks Argo CD's own Lua engine about objects: their health, which actions there are, what one does.
//
// It is told the file of the ConfigMap argocd-cm, reads questions from standard input, a JSON object each, and writes
// one answer a line. Tests put hundreds of questions to one process; the commands of `argocd admin settings
// resource-overrides` answer one a process.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/gitops-engine/pkg/health"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

const namespace = "argocd"

// question asks for the health of an object; with Discover for its actions; with Action for what one does to it.
type question struct {
	Object   map[string]any `json:"object"`
	Discover bool           `json:"discover"`
	Action   string         `json:"action"`
}

// change is an object that an action makes (operation create) or changes (patch).
type change struct {
	Operation string         `json:"operation"`
	Object    map[string]any `json:"object"`
}

type answer struct {
	Health  *health.HealthStatus      `json:"health,omitempty"`
	Actions []v1alpha1.ResourceAction `json:"actions,omitempty"`
	Changes []change                  `json:"changes,omitempty"`
	Error   string                    `json:"error,omitempty"`
}

func overrides(file string) (map[string]v1alpha1.ResourceOverride, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	config, secret := &corev1.ConfigMap{}, &corev1.Secret{}
	if err := yaml.UnmarshalStrict(text, config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	secret.Name = common.ArgoCDSecretName
	labels := map[string]string{"app.kubernetes.io/part-of": "argocd"}
	config.Namespace, secret.Namespace, config.Labels, secret.Labels = namespace, namespace, labels, labels
	manager := settings.NewSettingsManager(context.Background(), fake.NewClientset(config, secret), namespace)
	return manager.GetResourceOverrides()
}

func reply(vm lua.VM, asked question) (answer, error) {
	object := &unstructured.Unstructured{Object: asked.Object}
	switch {
	case asked.Discover:
		scripts, err := vm.GetResourceActionDiscovery(object)
		if err != nil {
			return answer{}, err
		}
		actions, err := vm.ExecuteResourceActionDiscovery(object, scripts)
		return answer{Actions: actions}, err
	case asked.Action != "":
		action, err := vm.GetResourceAction(object, asked.Action)
		if err != nil {
			return answer{}, err
		}
		impacted, err := vm.ExecuteResourceAction(object, action.ActionLua, nil)
		var changes []change
		for _, one := range impacted {
			changes = append(changes, change{string(one.K8SOperation), one.UnstructuredObj.Object})
		}
		return answer{Changes: changes}, err
	}
	status, err := health.GetResourceHealth(object, lua.ResourceHealthOverrides(vm.ResourceOverrides))
	return answer{Health: status}, err
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: argocd-lua ARGOCD-CM.YAML < QUESTIONS")
		os.Exit(2)
	}
	found, err := overrides(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	questions, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var asked question
		if err := questions.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		told, err := reply(lua.VM{ResourceOverrides: found}, asked)
		if err != nil {
			told = answer{Error: err.Error()}
		}
		if err := answers.Encode(told); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
