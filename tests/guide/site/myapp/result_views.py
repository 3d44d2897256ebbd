from django.tasks import get_task_backend
from django.http import JsonResponse
from django.shortcuts import get_object_or_404

def get_task_status_view(request, task_id):
    """Get task status and result."""
    backend = get_task_backend()
    
    try:
        task_result = backend.get_result(task_id)
        
        response_data = {
            'task_id': task_id,
            'status': task_result.status,
            'ready': task_result.ready(),
            'successful': task_result.successful() if task_result.ready() else None,
            'failed': task_result.failed() if task_result.ready() else None,
        }
        
        # Add result if task is complete
        if task_result.ready():
            if task_result.successful():
                response_data['result'] = task_result.result
            else:
                response_data['error'] = str(task_result.result)
                response_data['traceback'] = task_result.traceback
        
        # Add progress information if available
        if hasattr(task_result, 'info') and task_result.info:
            response_data['progress'] = task_result.info
        
        return JsonResponse(response_data)
    
    except Exception as e:
        return JsonResponse({
            'task_id': task_id,
            'error': f'Failed to retrieve task status: {str(e)}'
        }, status=500)

def wait_for_task_result_view(request, task_id):
    """Wait for task result with timeout."""
    timeout = int(request.GET.get('timeout', 30))
    
    backend = get_task_backend()
    
    try:
        task_result = backend.get_result(task_id)
        
        # Wait for result with timeout
        result = task_result.get(timeout=timeout)
        
        return JsonResponse({
            'task_id': task_id,
            'status': 'completed',
            'result': result
        })
    
    except TimeoutError:
        return JsonResponse({
            'task_id': task_id,
            'status': 'timeout',
            'message': f'Task did not complete within {timeout} seconds'
        }, status=408)
    
    except Exception as e:
        return JsonResponse({
            'task_id': task_id,
            'status': 'error',
            'error': str(e)
        }, status=500)

def revoke_task_view(request, task_id):
    """Revoke/cancel a task."""
    backend = get_task_backend()
    
    try:
        # Revoke the task
        backend.revoke(task_id, terminate=True)
        
        return JsonResponse({
            'task_id': task_id,
            'status': 'revoked',
            'message': 'Task has been cancelled'
        })
    
    except Exception as e:
        return JsonResponse({
            'task_id': task_id,
            'error': f'Failed to revoke task: {str(e)}'
        }, status=500)

def list_active_tasks_view(request):
    """List all active tasks."""
    backend = get_task_backend()
    
    try:
        # Get active tasks (implementation depends on backend)
        active_tasks = backend.get_active_tasks()
        
        tasks_data = []
        for task_info in active_tasks:
            tasks_data.append({
                'task_id': task_info['id'],
                'name': task_info['name'],
                'status': task_info['status'],
                'started_at': task_info.get('started_at'),
                'worker': task_info.get('worker')
            })
        
        return JsonResponse({
            'active_tasks': tasks_data,
            'count': len(tasks_data)
        })
    
    except Exception as e:
        return JsonResponse({
            'error': f'Failed to retrieve active tasks: {str(e)}'
        }, status=500)
