// Package protojobs dispatches background jobs to a Proto Jobs server and looks after them.
//
//	options, err := protojobs.OptionsFromEnv()
//	...
//	client, err := protojobs.NewClient(options)
//	...
//	defer client.Close()
//	job, err := client.Dispatch(ctx, protojobs.Job{Kind: "greet", Queue: "greetings", Data: Greeting{Name: "Ann"}})
//
// Every id is chosen here, so a call whose outcome is unknown is repeated without storing a job twice. Errors of the
// server are values of type *Error; compare them by errors.Is with the Err variables, or take them by errors.As.
//
// Handlers run in package [github.com/proto-jobs/proto-jobs/clients/go/protojobs/worker].
package protojobs

// Version is that of this client, as servers and their console see it.
const Version = "0.1.0"
